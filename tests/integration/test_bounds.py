"""What bounded collections count as held is no less than what they really hold."""

import gc
import tracemalloc
from collections.abc import Callable

import pytest

from ratelimit.limiter.counter_store import Batch
from ratelimit.limiter.over_limit_cache import ENTRY_BYTES, OverLimitCache
from ratelimit.stores.memory import COUNTER_BYTES, MemoryStore
from tests.limiter.plans import NOW, hit

ENTRIES = 5_000


def held_by(fill: Callable[[], object]) -> int:
    """The bytes that what `fill` makes holds."""
    gc.collect()
    tracemalloc.start()
    kept = fill()
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return held


def name_of(number: int, size: int) -> bytes:
    """A name of that many bytes."""
    return b"%d" % number + b"x" * (size - len(b"%d" % number))


@pytest.mark.parametrize("size", [20, 200])
def test_the_over_limit_cache(size: int) -> None:
    """A key, its count and its end."""

    def fill() -> OverLimitCache:
        cache = OverLimitCache(10**9)
        for number in range(ENTRIES):
            cache.add(name_of(number, size), 1000 + number, NOW + number)
        return cache

    counted = ENTRIES * (size + ENTRY_BYTES)
    assert 0.5 * counted < held_by(fill) < counted


@pytest.mark.parametrize("size", [20, 200])
def test_the_memory_store(size: int) -> None:
    """A counter, and its place among those that end with it."""

    def fill() -> MemoryStore:
        store = MemoryStore(10**9)
        for number in range(ENTRIES):
            store.count(Batch([hit(name_of(number, size), 1000)], NOW, 0), lambda _: None)
        return store

    counted = ENTRIES * (size + COUNTER_BYTES)
    assert 0.5 * counted < held_by(fill) < counted
