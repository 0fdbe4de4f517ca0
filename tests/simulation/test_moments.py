import pytest

from ratelimit.simulation.moments import KEPT_MAX, Moments

NEW_YEAR_MS = 1_767_225_600_000


@pytest.mark.parametrize(
    ("value", "after_ms"),
    [
        ("2026-01-01T00:00:00Z", 0),
        ("2026-01-01T00:00:00.123Z", 123),
        ("2026-01-01T00:00:00.1Z", 100),
        ("2026-01-01 00:00:01.123456789z", 1_123),
        ("2026-01-01T02:00:00+02:00", 0),
        ("2025-12-31T22:30:00.5-0130", 500),
        (1_767_225_600, 0),
        (1_767_225_600.123, 123),
        ("1767225600.123", 123),
        (1_767_225_600_123, 123),
        ("1767225600123456", 123),
        (1_767_225_600_123_456_789, 123),
    ],
)
def test_moments_of_a_log(value: str | float, after_ms: int) -> None:
    """RFC 3339 with any offset, and numbers of any unit, to the millisecond."""
    assert Moments().of(value) == NEW_YEAR_MS + after_ms


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("2026-01-01T00:00:00", "is no time with an offset"),
        ("2026-01-01T00:00:00.Z", "is no time with an offset"),
        ("2026-13-01T00:00:00Z", "is no time"),
        ("2026-01-01T00:00:60Z", "is no time"),
        ("2026-01-01T00:0:000Z", "is no time"),
        ("2026-01-01T0x:00:00Z", "is no time"),
        ("yesterday", "'yesterday' is no time"),
        ("1969-12-31T23:59:59Z", "is before 1970"),
        (-1, "is no time since 1970"),
        (1e30, "is no time since 1970"),
        (None, "is missing"),
        (True, "is missing"),
    ],
)
def test_what_is_no_moment(value: str | float | None, reason: str) -> None:
    """It says why."""
    with pytest.raises(ValueError, match=reason):
        Moments().of(value)


def test_many_moments() -> None:
    """Of one form or of several; one that is before 1970 is none."""
    moments = Moments()
    assert moments.all_of(["2026-01-01T00:00:00Z", 1_767_225_601, "1767225602"]) == [
        NEW_YEAR_MS + n * 1_000 for n in range(3)
    ]
    for wrong in ("1969-12-31T23:59:59Z", None):
        with pytest.raises(ValueError, match="is "):
            moments.all_of(["2026-01-01T00:00:00Z", wrong])


def test_what_is_kept_is_bounded() -> None:
    """A log of many years is read like one of a minute."""
    moments = Moments()
    texts = [f"2026-01-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}.{n % 1000:03}Z" for n in range(KEPT_MAX + 500)]
    assert moments.all_of(texts) == [NEW_YEAR_MS + n * 1000 + n % 1000 for n in range(KEPT_MAX + 500)]
    assert len(moments._seconds) <= KEPT_MAX
