import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ratelimit.limiter.space_saving import SpaceSaving


@given(st.lists(st.tuples(st.sampled_from([b"%d" % n for n in range(12)]), st.integers(1, 5)), max_size=200))
def test_no_count_is_too_low_and_none_too_high_by_more_than_it_says(hits: list[tuple[bytes, int]]) -> None:
    """What Space-Saving promises, against a dictionary of all keys; the largest come first."""
    sketch, true = SpaceSaving(5), Counter[bytes]()
    for key, amount in hits:
        sketch.add(key, amount)
        true[key] += amount
    told = sketch.most(5)
    assert [count for _, count, _ in told] == sorted((count for _, count, _ in told), reverse=True)
    for key, count, error in told:
        assert count - error <= true[key] <= count
    least = min((count for _, count, _ in told), default=0)
    if len(true) > 5:
        assert {key for key, number in true.items() if number > least} <= {key for key, _, _ in told}
    else:
        assert {key: count for key, count, _ in told} == true


def test_the_busy_stand_out_of_a_flood_of_keys_that_come_once() -> None:
    """Three keys with a tenth of the hits are found among 20,000 others."""
    sketch, chance = SpaceSaving(64), random.Random(1)
    for number in range(20_000):
        sketch.add(b"once-%d" % number, 1)
        if chance.random() < 0.1:
            sketch.add(chance.choice([b"a", b"b", b"c"]), 1)
    assert {key for key, _, _ in sketch.most(3)} == {b"a", b"b", b"c"}


def test_what_was_is_forgotten() -> None:
    """Counts fade, and go when nothing is left of them; those that stay can be taken over again."""
    sketch = SpaceSaving(2)
    sketch.add(b"a", 8)
    sketch.add(b"b", 0.01)
    sketch.fade(0.5)
    assert sketch.most(9) == [(b"a", 4.0, 0.0)]
    sketch.add(b"c", 1)
    sketch.add(b"d", 1)
    assert sketch.most(9) == [(b"a", 4.0, 0.0), (b"d", 2.0, 1.0)]
