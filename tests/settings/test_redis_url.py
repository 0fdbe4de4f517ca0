import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratelimit.settings.redis_url import RedisTarget, parse_redis_url, parse_socket_path

HARD = "p/w@rd:with%20all"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("redis:6379", RedisTarget("redis")),
        ("redis", RedisTarget("redis")),
        ("[::1]:6380", RedisTarget("::1", 6380)),
        ("redis://r.example:1/3", RedisTarget("r.example", 1, 3)),
        ("REDISS://r/", RedisTarget("r", tls=True)),
        ("redis://user:secret@r:1", RedisTarget("r", 1, username="user", password="secret")),
        ("redis://:secret@r", RedisTarget("r", password="secret")),
        ("redis://user@r", RedisTarget("r", username="user")),
        ("user:secret@r:1", RedisTarget("r", 1, username="user", password="secret")),
        ("redis://:a%2Fb%40c@r", RedisTarget("r", password="a/b@c")),
        (f"redis://u:{HARD}@[fe80::2]:7/1", RedisTarget("fe80::2", 7, 1, "u", "p/w@rd:with all")),
        ("redis://r?db=2&username=u&password=s", RedisTarget("r", db=2, username="u", password="s")),
    ],
)
def test_every_form_of_the_reference_is_read(text: str, target: RedisTarget) -> None:
    """A bare address, a URL with credentials and database, TLS, IPv6, and passwords that hold anything."""
    assert parse_redis_url(text) == target


@pytest.mark.parametrize(
    "place",
    [
        "", ":6379", "a b:1", "r:0", "r:65536", "r:x", "::1:6379", "[nothing]:1", "[::1", "r/name", "r/-1",
        "r/99999999999",
        "a:1,b:2", "a..b", "x" * 64, "r\0", "r?pool=1", "/var/run/redis.sock", "a." * 200,
    ],
)  # fmt: skip
def test_an_address_that_can_never_work_is_refused(place: str) -> None:
    """With a sentence that repeats neither the password nor anything else of the text."""
    for text in (place, f"redis://user:s3cret/@{place}"):
        with pytest.raises(ValueError, match=r"wanted|must be|looked up|follow|longer") as caught:
            parse_redis_url(text)
        assert "s3cret" not in str(caught.value)


def test_another_scheme_is_refused() -> None:
    """A URL of something else, without a word of it in the error."""
    with pytest.raises(ValueError, match="wanted") as caught:
        parse_redis_url("http://user:s3cret@r:1")
    assert "s3cret" not in str(caught.value)


def test_what_is_shown_has_no_credentials() -> None:
    """Logs get host and port, IPv6 in brackets; the repr has no password either."""
    target = parse_redis_url(f"redis://user:{HARD}@[::1]:6379")
    assert target.shown == "[::1]:6379"
    assert parse_redis_url("user:s3cret@redis").shown == "redis:6379"
    assert parse_socket_path("/run/redis.sock").shown == "/run/redis.sock"
    assert "p/w@rd" not in repr(target)


@pytest.mark.parametrize("text", ["", "a\0b", "/" + "x" * 107, "redis://r:1", "redis:6379"])
def test_a_socket_needs_a_path(text: str) -> None:
    """An address in its place means that REDIS_SOCKET_TYPE was forgotten, and the error says so."""
    with pytest.raises(ValueError, match="path of a socket"):
        parse_socket_path(text)


def test_redis_auth_is_taken_where_the_url_has_no_password() -> None:
    """`password`, or `user:password` split at the first colon."""
    assert parse_redis_url("r").with_credentials("u:a:b") == RedisTarget("r", username="u", password="a:b")
    assert parse_redis_url("redis://u@r").with_credentials("pw") == RedisTarget("r", username="u", password="pw")
    assert parse_redis_url("redis://:own@r").with_credentials("u:pw") == RedisTarget("r", password="own")


@given(st.text(alphabet=st.sampled_from("redis:/@[]%0,?=&.\0é\ud800 -"), max_size=40) | st.text())
@example("redis://\udcff")
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but ValueError escapes, and what is read has an address that a resolver takes."""
    for parse in (parse_redis_url, parse_socket_path):
        try:
            target = parse(text)
        except ValueError:
            continue
        assert target.path == text or (target.host.encode("idna") and 0 < target.port < 65536)
