import pytest

from ratelimit.settings.go_values import boolean, duration_s, integer, pairs


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
    ],
)
def test_durations_are_go_s(text: str, seconds: float) -> None:
    """With a unit, or 0."""
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["10", "", "s", "1x", "1s2", "-1s", "1 s", "9" * 5000 + "h", "300" + "0" * 9 + "h"])
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


@pytest.mark.parametrize(("text", "number"), [("10", 10), ("0x1F", 31), ("010", 8), ("0o10", 8), ("-3", -3)])
def test_integers_have_go_s_bases(text: str, number: int) -> None:
    """Hexadecimal and octal are read."""
    assert integer(text) == number
    with pytest.raises(ValueError, match="whole number"):
        integer(text + ".5")


@pytest.mark.parametrize("text", ["9223372036854775808", "0x" + "f" * 400, "1" * 5000, "٣", "", "0_", "1 2"])
def test_what_go_has_no_integer_for_is_refused(text: str) -> None:
    """64 bits, and the digits of ASCII."""
    with pytest.raises(ValueError, match="whole number"):
        integer(text)


def test_pairs() -> None:
    """k:v,k:v; a value may hold colons."""
    assert pairs("a:b,c:d:e,") == {"a": "b", "c": "d:e"}
    with pytest.raises(ValueError, match="key:value"):
        pairs("a=b")


def test_values_that_are_no_text_pass() -> None:
    """Settings made in code give the value itself."""
    assert (duration_s(1.5), boolean(value=True), integer(3), pairs({"a": "b"})) == (1.5, True, 3, {"a": "b"})
