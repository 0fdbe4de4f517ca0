import pytest

from ratelimit.settings.redis_place import (
    SERVERS_MAX,
    Access,
    cluster_servers,
    sentinel_servers,
    servers_of,
    single_server,
)
from ratelimit.settings.redis_url import RedisTarget


def test_one_server() -> None:
    """An address or a socket; a password may hold a comma, the address not."""
    assert single_server("redis://:a,b@h:1", unix=False) == RedisTarget("h", 1, password="a,b")
    assert single_server("/run/redis.sock", unix=True).path == "/run/redis.sock"
    with pytest.raises(ValueError, match="no list, since REDIS_TYPE is SINGLE"):
        single_server("a:1,b:2", unix=False)


def test_a_master_and_its_sentinels() -> None:
    """The name comes first, as the reference has it."""
    master, servers = sentinel_servers("mymaster, s1:26379,[::1]:26380")
    assert (master, servers) == ("mymaster", (RedisTarget("s1", 26379), RedisTarget("::1", 26380)))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s1:26379,s2:26379", "mastername,host:port"),
        ("", "mastername,host:port"),
        ("mymaster", "at least one sentinel"),
        ("mymaster,s1:26379,", "address 2 of the list"),
        ("mymaster,s1:99999", "the port must be"),
    ],
)
def test_bad_sentinel_lists(url: str, reason: str) -> None:
    """Each says what is wanted and where it goes wrong."""
    with pytest.raises(ValueError, match=reason):
        sentinel_servers(url)


def test_nodes_of_a_cluster() -> None:
    """Addresses or URLs, and no database but 0."""
    assert cluster_servers("a:1,rediss://u:p@b:2") == (
        RedisTarget("a", 1),
        RedisTarget("b", 2, username="u", password="p", tls=True),
    )
    with pytest.raises(ValueError, match="one database"):
        cluster_servers("redis://a:1/2")
    with pytest.raises(ValueError, match=f"at most {SERVERS_MAX}"):
        cluster_servers(",".join(["a:1"] * (SERVERS_MAX + 1)))


def test_each_server_has_its_own_credentials() -> None:
    """Sentinels get theirs and never the store's; a URL's own go before all."""
    access = Access(RedisTarget(username="u", password="pw", tls=True), "sentinel:guard")
    assert servers_of("SENTINEL", "m,a:1", access) == (
        "m",
        (RedisTarget("a", 1, username="sentinel", password="guard", tls=True),),
    )
    assert servers_of("SENTINEL", "m,a:1", Access(RedisTarget(password="pw"))) == ("m", (RedisTarget("a", 1),))
    assert servers_of("CLUSTER", "a:1,redis://:own@b:2", access)[1] == (
        RedisTarget("a", 1, username="u", password="pw", tls=True),
        RedisTarget("b", 2, password="own", tls=True),
    )
