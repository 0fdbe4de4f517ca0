import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.limiter.algorithm import ALGORITHMS
from ratelimit.limiter.counter_key import (
    CounterFormat,
    bucket_counter,
    exact_counter,
    one_slot_counter,
    reference_counter,
)
from ratelimit.limiter.counter_text import counter_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize("form", [exact_counter, one_slot_counter, bucket_counter], ids=["exact", "one slot", "bucket"])
@given(TEXTS, st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4), st.booleans())
def test_the_exact_formats_are_read_back(
    form: CounterFormat, domain: str, entries: list[tuple[str, str]], sliding: bool
) -> None:
    """Domain and entries, whatever stands in them, with the start of a window behind the name or without."""
    limit = Limit(1, Unit.MINUTE, unit_multiplier=5, algorithm="sliding_window" if sliding else "fixed_window")
    algorithm = ALGORITHMS[limit.algorithm]
    counter = form("prefix:", domain, entries, limit, algorithm)
    wanted = {"domain": domain, "entries": [list(entry) for entry in entries], "more": 0}
    assert counter_text(counter) == wanted
    assert counter_text(algorithm.name(counter, 1_700_000_000)) == wanted


def test_long_texts_and_many_entries_are_cut() -> None:
    """A text of more than 128 bytes is known by its hash only; of a long one and of many entries the beginning."""
    entries = [("k", "x" * 110), ("k", "y" * 200), *[("k", "v")] * 10]
    limit = Limit(1, Unit.MINUTE)
    told = counter_text(exact_counter("", "d", entries, limit, ALGORITHMS[limit.algorithm]))
    assert told["entries"][0][1] == "x" * 99 + "…"
    assert told["entries"][1][1].startswith("(SHA-256 ")
    assert (len(told["entries"]), told["more"]) == (8, 4)


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b"d_k_v_",
        b"{rl:f2:1:d,1:k",
        b"{rl:f2:1:d,9:k,",
        b"{rl:f2:1:dX1:k,",
        b"{rl:f2:~",
        b"{rl:f2:1:d,1:k,",
        b"\xff" * 200,
    ],
)
def test_what_has_another_format_is_shown_as_it_is(name: bytes) -> None:
    """The reference's keys, and what is cut or no key at all."""
    assert counter_text(name).get("domain", "d") == "d"
    limit = Limit(1, Unit.MINUTE)
    reference = reference_counter("", "d", [("k", "v")], limit, ALGORITHMS[limit.algorithm])
    assert counter_text(reference) == {"name": "d_k_v_"}
