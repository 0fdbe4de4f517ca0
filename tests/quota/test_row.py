"""A row as bytes."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.quota.row import Row

counts, measures = st.integers(0, 2**32 - 1), st.floats(allow_nan=False)


def fields(row: Row) -> list[object]:
    """All that a row holds."""
    return [getattr(row, name) for name in Row.__slots__]


@given(
    st.builds(
        Row,
        envoy=st.just("envoy"),
        owner=st.text(st.characters(exclude_categories=["Cs"])),
        **dict.fromkeys(("tokens", "burst", "seq", "zero"), counts),
        **dict.fromkeys(("weight", "hold", "pend", "exp", "estimate", "offered", "last", "probed"), measures),
        **dict.fromkeys(("hungry", "fresh", "silent", "gone", "abandoned", "unknown"), st.booleans()),
    )
)
def test_a_row_survives_being_bytes(row: Row) -> None:
    """Every field of it."""
    assert fields(Row.unpack("envoy", row.pack())) == fields(row)


@pytest.mark.parametrize("packed", [b"", b"short", Row("e").pack() + b"\xff"])
def test_what_is_no_row_is_told(packed: bytes) -> None:
    """Whoever reads the store may find anything."""
    with pytest.raises(ValueError, match="no row"):
        Row.unpack("e", packed)


def test_what_came_to_an_envoy_is_reckoned() -> None:
    """By the rate it was told."""
    row = Row("e", tokens=120, since=10.0)
    row.reckon(13.0)
    assert (row.offered, row.since) == (6.0, 13.0)


def test_who_is_there_can_be_told_something() -> None:
    """Not the silent, and not who was told to forget."""
    assert Row("e", pend=inf).live
    assert not Row("e", silent=True).live
    assert not Row("e", abandoned=True).live
