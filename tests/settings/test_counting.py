import pytest

from ratelimit.settings import load_settings


@pytest.mark.parametrize(
    ("variable", "value", "effective", "told"),
    [
        ("EXPIRATION_JITTER_MAX_SECONDS", "-1", 0, False),
        ("EXPIRATION_JITTER_MAX_SECONDS", "99999999999", 2**31 - 1, True),
        ("LOCAL_CACHE_SIZE_IN_BYTES", "-1", 512 * 1024, True),
        ("LOCAL_CACHE_SIZE_IN_BYTES", "0x400", 1024, False),
        ("NEAR_LIMIT_RATIO", "1.5", 1.0, True),
        ("NEAR_LIMIT_RATIO", "-inf", 0.0, True),
        ("NEAR_LIMIT_RATIO", "nan", 0.0, True),
        ("NEAR_LIMIT_RATIO", "0.29", 0.29, False),
        ("BACKEND_TYPE", "", "redis", False),
    ],
)
def test_what_cannot_act_as_it_stands_acts_as_theirs_does(
    variable: str, value: str, effective: object, told: bool
) -> None:
    """And it is told where a person may have meant something else."""
    settings = load_settings({variable: value})
    assert getattr(settings.limiter, variable.lower()) == effective
    assert [name for name, _ in settings.notes] == ([variable] if told else [])


def test_one_place_of_memcached() -> None:
    """Either a list, in its order, or a SRV name; neither matters to another backend."""
    listed = load_settings({"BACKEND_TYPE": "memcache", "MEMCACHE_HOST_PORT": "b:11211, [::1]:2"}).memcache
    assert listed.addresses == [("b", 11211), ("::1", 2)]
    mixed = load_settings({"BACKEND_TYPE": "memcache", "MEMCACHE_HOST_PORT": "/run/m.sock,a:1"}).memcache
    assert mixed.addresses == [("/run/m.sock", 0), ("a", 1)]
    found = {"BACKEND_TYPE": "memcache", "MEMCACHE_SRV": "_memcache._tcp.example.org", "MEMCACHE_SRV_REFRESH": "1m"}
    assert load_settings(found).memcache.memcache_srv_refresh == 60
    assert load_settings({"MEMCACHE_HOST_PORT": "a:1", "MEMCACHE_SRV": "_a._tcp.b"}).limiter.backend_type == "redis"
