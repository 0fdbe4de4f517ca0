from ratelimit.limiter.over_limit_cache import OverLimitCache


def test_it_knows_a_key_until_its_window_ends() -> None:
    """After the end the key is looked up in the store again."""
    cache = OverLimitCache(1000)
    cache.add(b"k", 5, 100)
    assert cache.is_over(b"k", 5, 99)
    assert not cache.is_over(b"k", 5, 100)
    assert (cache.hits, cache.misses, len(cache)) == (1, 1, 0)


def test_another_limit_of_the_same_key_is_not_blocked() -> None:
    """A raised limit, or a larger configured one beside a small override, is asked anew."""
    cache = OverLimitCache(1000)
    cache.add(b"k", 5, 100)
    assert not cache.is_over(b"k", 6, 1)


def test_a_refund_forgets() -> None:
    """What was over may be below again."""
    cache = OverLimitCache(1000)
    cache.add(b"k", 5, 100)
    cache.add(b"other", 5, 100)
    cache.forget(b"k")
    assert not cache.is_over(b"k", 5, 1)
    assert cache.is_over(b"other", 5, 1)


def test_the_least_recently_used_make_room() -> None:
    """The bound in bytes holds, and what is asked for stays."""
    cache = OverLimitCache(3 * 34)
    for name in b"abc":
        cache.add(b"%c" % name * 10, 1, 100)
    assert cache.is_over(b"a" * 10, 1, 1)
    cache.add(b"d" * 10, 1, 100)
    assert [cache.is_over(b"%c" % name * 10, 1, 1) for name in b"abcd"] == [True, False, True, True]
    assert cache.evictions == 1


def test_sizes_at_the_edge() -> None:
    """1000 bytes hold at least two keys; 0 is off; a key too large is not kept."""
    small, off = OverLimitCache(1000), OverLimitCache(0)
    for cache in (small, off):
        cache.add(b"x" * 100, 1, 100)
        cache.add(b"y" * 100, 1, 100)
        cache.add(b"z" * 2000, 1, 100)
    assert (len(small), small.enabled) == (2, True)
    assert (len(off), off.enabled) == (0, False)
