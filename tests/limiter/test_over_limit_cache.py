from ratelimit.limiter.over_limit_cache import ENTRY_BYTES, OverLimitCache


def test_it_knows_a_counter_until_its_window_ends() -> None:
    """After the end the counter is looked up in the store again."""
    cache = OverLimitCache(1000)
    cache.add(b"k", 6, 100)
    assert cache.is_over(b"k", 5, 99)
    assert not cache.is_over(b"k", 5, 100)
    assert (cache.hits, cache.misses, len(cache)) == (1, 1, 0)
    assert (cache.lookups, cache.expired) == (2, 1)


def test_a_larger_limit_of_the_same_counter_is_not_blocked() -> None:
    """A raised limit, or a larger configured one beside a small override, is asked anew; smaller ones are over too."""
    cache = OverLimitCache(1000)
    cache.add(b"k", 6, 100)
    assert [cache.is_over(b"k", limit, 1) for limit in (3, 5, 6)] == [True, True, False]
    cache.add(b"k", 9, 100)
    cache.add(b"k", 7, 100)
    assert cache.is_over(b"k", 8, 1)
    assert cache.overwrites == 2


def test_a_refund_forgets() -> None:
    """What was over may be below again."""
    cache = OverLimitCache(1000)
    cache.add(b"k", 6, 100)
    cache.add(b"other", 6, 100)
    cache.forget(b"k")
    cache.forget(b"none")
    assert not cache.is_over(b"k", 5, 1)
    assert cache.is_over(b"other", 5, 1)


def test_a_refund_touches_one_entry() -> None:
    """However much is known, forgetting looks at one key: it asks the dictionary once and walks nothing."""
    cache = OverLimitCache(100_000_000)
    for number in range(10_000):
        cache.add(b"%d" % number, 6, 100)
    cache._known.__iter__ = None  # type: ignore[method-assign,assignment]
    cache.forget(b"77")
    assert len(cache) == 9_999


def test_the_least_recently_used_make_room() -> None:
    """The bound in bytes holds, and what is asked for stays."""
    cache = OverLimitCache(3 * (10 + ENTRY_BYTES))
    for name in b"abc":
        cache.add(b"%c" % name * 10, 2, 100)
    assert cache.is_over(b"a" * 10, 1, 1)
    cache.add(b"d" * 10, 2, 100)
    assert [cache.is_over(b"%c" % name * 10, 1, 1) for name in b"abcd"] == [True, False, True, True]
    assert cache.evictions == 1


def test_sizes_at_the_edge() -> None:
    """1000 bytes hold at least two keys; 0 is off; a key too large is not kept."""
    small, off = OverLimitCache(1000), OverLimitCache(0)
    for cache in (small, off):
        cache.add(b"x" * 100, 2, 100)
        cache.add(b"y" * 100, 2, 100)
        cache.add(b"z" * 2000, 2, 100)
    assert (len(small), small.enabled) == (2, True)
    assert (len(off), off.enabled) == (0, False)
