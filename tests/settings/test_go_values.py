import math

import pytest

from ratelimit.settings.go_values import boolean, duration_s, integer, items, number, pairs, small_number


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1m30s", 90),
        ("150µs", 150e-6),
        ("150μs", 150e-6),
        ("1.5h", 5400),
        ("0", 0),
        (".5s", 0.5),
        ("+1ms", 1e-3),
        ("-1s", -1),
        ("-1h1m", -3660),
    ],
)
def test_durations_are_go_s(text: str, seconds: float) -> None:
    """With a unit, or 0."""
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["10", "", "s", "1x", "1s2", "--1s", "1 s", "1s\n", "9" * 5000 + "h", "300" + "0" * 9 + "h"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A number without a unit is an error, as in Go."""
    with pytest.raises(ValueError, match="duration"):
        duration_s(text)


def test_booleans_are_strconv_s() -> None:
    """The twelve spellings, and nothing else."""
    assert [boolean(text) for text in ("1", "t", "T", "TRUE", "true", "True")] == [True] * 6
    assert [boolean(text) for text in ("0", "f", "F", "FALSE", "false", "False")] == [False] * 6
    for text in ("", "yes", "tRUE"):
        with pytest.raises(ValueError, match="true or false"):
            boolean(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [("10", 10), ("0x1F", 31), ("010", 8), ("0o10", 8), ("-3", -3), ("1_000", 1000), ("-0x8000000000000000", -(2**63))],
)
def test_integers_have_go_s_bases(text: str, number: int) -> None:
    """Hexadecimal and octal are read."""
    assert integer(text) == number
    with pytest.raises(ValueError, match="whole number"):
        integer(text + ".5")


@pytest.mark.parametrize(
    "text", ["9223372036854775808", "0x" + "f" * 400, "1" * 5000, "٣", "", "0_", "1 2", " 1", "1\n", "08"]
)
def test_what_go_has_no_integer_for_is_refused(text: str) -> None:
    """64 bits, and the digits of ASCII."""
    with pytest.raises(ValueError, match="whole number"):
        integer(text)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("0.8", 0.8),
        (".5", 0.5),
        ("1.", 1),
        ("1e-3", 1e-3),
        ("0x1p-2", 0.25),
        ("0X_1.8p1", 3),
        ("1_0.5", 10.5),
        ("-Inf", -math.inf),
    ],
)
def test_numbers_are_strconv_s(text: str, read: float) -> None:
    """Decimal, hexadecimal, with underscores, infinite."""
    assert number(text) == small_number(text) == read


@pytest.mark.parametrize(
    "text", ["", ".", "x", " 1", "1\n", "1__0", "_1", "+nan", "1e400", "0x1", "٣", "1" * 5000, "0x1p5000"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    """Also what is too large for double precision."""
    with pytest.raises(ValueError, match="number"):
        number(text)


def test_single_precision_ends_earlier() -> None:
    """NEAR_LIMIT_RATIO is such a number in the reference."""
    assert small_number("3.4028235e38") == number("3.4028235e38")
    assert math.isnan(number("NaN"))
    with pytest.raises(ValueError, match="single precision"):
        small_number("-1e39")


def test_pairs() -> None:
    """k:v,k:v; the last of a key's values counts, and white space is kept."""
    assert pairs("a:b,c:,:d,a: x ") == {"a": " x ", "c": "", "": "d"}
    assert pairs("") == pairs("  ") == {}


@pytest.mark.parametrize("text", ["a", "a=b", "a:b,", "a:b:c", ","])
def test_what_is_no_pair_is_refused(text: str) -> None:
    """Exactly one colon, also behind the last comma."""
    with pytest.raises(ValueError, match="key:value"):
        pairs(text)


def test_items() -> None:
    """Parts may be empty; nothing is none."""
    assert items("a, b,") == ("a", " b", "")
    assert items(" ") == items("") == ()


def test_values_that_are_no_text_pass() -> None:
    """Settings made in code give the value itself."""
    assert (duration_s(1.5), boolean(value=True), integer(3), pairs({"a": "b"})) == (1.5, True, 3, {"a": "b"})
    assert (number(1), small_number(0.5), items(("a",))) == (1, 0.5, ("a",))
