"""How many tokens a bucket holds."""

from dataclasses import replace

from ratelimit.quota.bursts import burst, small
from ratelimit.quota.options import LedgerOptions
from ratelimit.quota.row import Row

OPTIONS = LedgerOptions(1_000.0)
MOST, LEAST = OPTIONS.tuning.burst_most, OPTIONS.tuning.burst_min


def of(rate: float, estimate: float, live: int = 10, *, hungry: bool = False) -> int:
    """The size for a rate and a demand."""
    return burst(Row("e", estimate=estimate, fresh=False, hungry=hungry), rate, live, OPTIONS)


def test_near_balance_it_takes_many_tokens() -> None:
    """And few where rate and demand differ."""
    assert of(100, 100) == MOST
    assert of(100, 300) == 3
    assert of(100, 1_000) == LEAST


def test_a_large_rate_has_its_twentieth_of_a_second() -> None:
    """A client may ask for several at once."""
    assert of(900, 100) == 45
    assert of(900, 5_000) == 18


def test_a_small_window_has_no_room() -> None:
    """All buckets together are a part of it."""
    assert of(1, 1, live=1_000) == LEAST
    assert of(1, 1.1, live=200, hungry=True) < of(1, 1, live=200) < MOST


def test_a_newcomer_gets_what_there_is_room_for() -> None:
    """Its demand is not known."""
    assert burst(Row("e"), 100, 10, OPTIONS) == MOST
    small = replace(OPTIONS, limit_per_s=10.0)
    assert burst(Row("e"), 1, 10, small) == LEAST


def test_who_is_given_what_it_wants_has_no_more_to_refuse() -> None:
    """It gets the size for that with the change, not by a second change after its next report."""
    assert of(100, 100, live=50, hungry=True) == of(100, 100, live=50) == 16
    assert of(100, 101, live=50, hungry=True) == 6
    row = Row("e", tokens=6_000, burst=6, estimate=100, fresh=False, hungry=True)
    assert small([row], 50, OPTIONS) == [row]
    row.estimate = 101
    assert small([row], 50, OPTIONS) == []
