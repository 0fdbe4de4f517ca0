import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.limiter.algorithm import FIXED_WINDOW
from ratelimit.limiter.counter_key import (
    BUCKETS,
    SHORT_BYTES_MAX,
    SLOTS,
    TEXT_BYTES_MAX,
    CounterFormat,
    CounterKey,
    bucket_counter,
    exact_counter,
    one_slot_counter,
    reference_counter,
)

TEXT = st.text(alphabet="a_:,#{}1é", max_size=6)
LIMITS = st.builds(
    Limit, st.just(1), st.sampled_from(Unit), unit_multiplier=st.sampled_from([1, 2, 11]), calendar=st.booleans()
)
COUNTERS = st.tuples(TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=3), LIMITS)
MINUTE = Limit(1, Unit.MINUTE)


@pytest.mark.parametrize("counter", [exact_counter, one_slot_counter, bucket_counter])
@given(COUNTERS, COUNTERS)
def test_exact_counters_are_equal_only_for_equal_descriptors(
    counter: CounterFormat,
    one: tuple[str, list[tuple[str, str]], Limit],
    other: tuple[str, list[tuple[str, str]], Limit],
) -> None:
    """Two different descriptors, domains or windows never share a counter."""
    assert (counter("", *one, FIXED_WINDOW) == counter("", *other, FIXED_WINDOW)) == (one == other)


def test_the_reference_joins_and_so_shares() -> None:
    """The compatible format is byte for byte the reference's, with its collisions."""
    nested = reference_counter("p:", "dom", [("b", "c"), ("d", "e")], MINUTE, FIXED_WINDOW)
    assert nested == b"p:dom_b_c_d_e_"
    assert nested == reference_counter("p:", "dom", [("b", "c_d_e")], MINUTE, FIXED_WINDOW)


def test_long_texts_are_hashed_and_stay_apart() -> None:
    """A long value keeps the key short without merging counters."""
    long = "x" * 4000
    keys = {exact_counter("", "d", [("k", long + tail)], MINUTE, FIXED_WINDOW) for tail in "ab"}
    assert len(keys) == 2
    assert max(map(len, keys)) < 2 * TEXT_BYTES_MAX


def test_the_window_of_a_key_ends() -> None:
    """It resets at the end of its window, at once at the earliest, and after a whole window at the latest."""
    minute = CounterKey(b"k", FIXED_WINDOW, Unit.MINUTE, 120, 60, 90)
    assert [minute.reset_s(now) for now in (120, 179, 60)] == [60, 1, 60]


def test_prefix_stands_first() -> None:
    """CACHE_KEY_PREFIX separates deployments that share a store."""
    assert exact_counter("blue:", "d", [], MINUTE, FIXED_WINDOW).startswith(b"blue:{")
    assert bucket_counter("blue:", "d", [], MINUTE, FIXED_WINDOW).startswith(b"blue:{rl:")


def test_buckets_lie_evenly_in_the_slots() -> None:
    """However a Cluster of some masters shares its slots, each has its part of the counters; and they never move."""
    counters = [bucket_counter("p:", "d", [("k", f"v{number}")], MINUTE, FIXED_WINDOW) for number in range(2000)]
    slots = sorted({key_slot(counter) for counter in counters})
    assert [slot * BUCKETS // SLOTS for slot in slots] == list(range(BUCKETS))
    assert counters[0] == b"p:{rl:42}f2:1:d,1:k,2:v0,:"


def test_kinds_of_tags_never_meet() -> None:
    """Whatever texts hold, a counter in a bucket is none of a domain that is charged together, nor of one server."""
    texts = ["d", "", "rl:0", "}", "3"]
    made = {
        (counter(prefix="", domain=domain, entries=[("k", value)], limit=MINUTE, algorithm=FIXED_WINDOW))
        for counter in (exact_counter, one_slot_counter, bucket_counter)
        for domain in texts
        for value in texts
    }
    assert len(made) == 3 * len(texts) ** 2


@pytest.mark.parametrize("counter", [exact_counter, one_slot_counter, bucket_counter, reference_counter])
@pytest.mark.parametrize("text", ["", "é", "k_v", "x" * SHORT_BYTES_MAX])
def test_short_texts_can_be_written_from_their_bytes(counter: CounterFormat, text: str) -> None:
    """The size, the bytes and what follows are what the format writes for the text."""
    raw = text.encode()
    assert counter.sizes[len(raw)] + raw + counter.after == counter.text(text)
