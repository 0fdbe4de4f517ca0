import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.descriptors import yaml_scalars


@pytest.mark.parametrize(
    ("raw", "found"),
    [("0", 0), ("010", 8), ("0o17", 15), ("0x1F", 31), ("0b1_1", 3), ("1_000", 1000), ("-7", -7), ("+7", 7), ("00", 0)],
)
def test_integers_are_yaml_1_1(raw: str, found: int) -> None:
    """Every base that the reference reads."""
    assert yaml_scalars.integer(raw) == found


@pytest.mark.parametrize("raw", ["", "_", "0_", "0x_", "0b_", "0o", "089", "1.0", "1:30", "ten", "0x", "+", "٣"])
def test_what_is_no_integer_is_none(raw: str) -> None:
    """Texts that look like one to PyYAML's resolver are no exception."""
    assert yaml_scalars.integer(raw) is None


@pytest.mark.parametrize("raw", ["9" * 5000, "0x" + "f" * 5000, "0b" + "1" * 5000, "0" + "7" * 5000])
def test_five_thousand_digits_are_only_known_to_be_too_many(raw: str) -> None:
    """Their number is not computed: that costs the square of their length."""
    found, negative = yaml_scalars.integer(raw), yaml_scalars.integer(f"-{raw}")
    assert found is not None
    assert negative == -found
    assert not yaml_scalars.fits_json(found)


@pytest.mark.parametrize(("raw", "found"), [("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("-1_0.2", -10.2), ("1e3", 1e3)])
def test_fractions(raw: str, found: float) -> None:
    """With a point or an exponent, with underscores."""
    assert yaml_scalars.number(raw) == found


@pytest.mark.parametrize("raw", [".inf", "-.INF", ".nan", "1.5e+999", "9" * 400 + ".0"])
def test_what_a_double_cannot_hold_is_not_json(raw: str) -> None:
    """Infinity, not-a-number, and what is too large."""
    found = yaml_scalars.number(raw)
    assert found is not None
    assert not math.isfinite(found)
    assert not yaml_scalars.fits_json(found)


@pytest.mark.parametrize(("raw", "exists"), [("2020-02-29", True), ("2026-13-01", False), ("2020-1-1 25:00:00", False)])
def test_dates_must_exist(raw: str, exists: bool) -> None:
    """A month 13 and an hour 25 do not."""
    assert yaml_scalars.is_date(raw) is exists


@given(st.one_of(st.text(), st.from_regex(r"\A[-+]?(0[xob]?)?[0-9a-f_.:eE]{0,30}\Z")))
def test_no_text_raises(raw: str) -> None:
    """Each function takes every text."""
    assert isinstance(yaml_scalars.integer(raw), int | None)
    assert isinstance(yaml_scalars.number(raw), float | None)
    assert yaml_scalars.boolean(raw) in {True, False, None}
    assert yaml_scalars.is_date(raw) in {True, False}
