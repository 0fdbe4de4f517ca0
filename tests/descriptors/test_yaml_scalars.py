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


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ("", None), ("~", None), ("NULL", None), ("nULL", "nULL"), ("y", True), ("No", False), ("oFF", "oFF"),
        ("12", 12), ("010", 8), ("-0x1f", -31), ("0b11", 3), ("0o17", 15), ("1_0", 10), ("089", 89.0), ("1e3", 1000.0),
        ("+5", 5), (".5", 0.5), ("._5", "._5"), ("5.", 5.0), ("1:30", "1:30"), ("2020-01-01", "2020-01-01"),
        ("0x", "0x"),
        (str(2**64 - 1), 2**64 - 1), (str(-(2**63)), -(2**63)), (str(2**64), 2.0**64), (f"+{2**63}", 2.0**63),
        ("0x" + "f" * 17, "0x" + "f" * 17), ("9" * 5000, "9" * 5000), ("1e999", "1e999"),
        ("-", "-"), ("-.Inf", -math.inf),
    ],
)  # fmt: skip
def test_free_values(raw: str, found: object) -> None:
    """As the reference's library reads them, to the type."""
    read = yaml_scalars.free(raw)
    assert (read, type(read)) == (found, type(found))


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ("a", "a"), ("010", "8"), ("YES", "true"), ("off", "false"), ("~", "<nil>"), ("1.50", "1.5"), ("1e3", "1000"),
        ("1e21", "1e+21"), ("1.5e-7", "1.5e-07"), (".nan", "NaN"), (".inf", "+Inf"), ("-.inf", "-Inf"),
        ("2.5e16", "25000000000000000"),
    ],
)  # fmt: skip
def test_free_keys(raw: str, found: str) -> None:
    """As the reference's language prints such a value."""
    assert yaml_scalars.free_key(raw) == found


@given(st.one_of(st.text(), st.from_regex(r"\A[-+]?(0[xob]?)?[0-9a-f_.:eE]{0,30}\Z")))
def test_no_text_raises(raw: str) -> None:
    """Each function takes every text."""
    assert isinstance(yaml_scalars.integer(raw), int | None)
    assert isinstance(yaml_scalars.number(raw), float | None)
    assert yaml_scalars.boolean(raw) in {True, False, None}
    assert isinstance(yaml_scalars.free(raw), str | float | int | None)
    assert isinstance(yaml_scalars.free_key(raw), str)
