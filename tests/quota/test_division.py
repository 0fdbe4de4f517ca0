"""One plan."""

from typing import Any

import pytest

from ratelimit.quota.division import divide, prior
from ratelimit.quota.options import LedgerOptions
from ratelimit.quota.row import Row

OPTIONS = LedgerOptions(100.0)


def settled(rate: float, estimate: float, **fields: object) -> Row:
    """A row that obeys a rate."""
    given: dict[str, Any] = {"hold": rate, "fresh": False, "burst": 2, **fields}
    return Row("e", tokens=round(60 * rate), estimate=estimate, **given)


def hungry(rate: float, estimate: float) -> Row:
    """One that refuses what is beyond its rate."""
    return settled(rate, estimate, hungry=True, denied=estimate - rate)


def planned(*rows: Row, over: float = 0.0, options: LedgerOptions = OPTIONS) -> list[float | None]:
    """The new rate of each row, None where it stays."""
    changes = {id(change.row): change.rate for change in divide(rows, over, options)}
    return [changes.get(id(row)) for row in rows]


def test_nobody_there_needs_no_plan() -> None:
    """Silent rows alone are none to divide for."""
    assert divide([settled(50, 10, silent=True)], 0, OPTIONS) == []


def test_what_is_taken_is_given_when_it_is_free() -> None:
    """A cut first; the hungry one gets what nobody holds, here nothing."""
    assert planned(settled(80, 10), hungry(20, 200)) == [pytest.approx(10, abs=1), None]


def test_what_nobody_holds_goes_to_the_hungry() -> None:
    """All of it."""
    _, more = planned(settled(10, 10), hungry(20, 200))
    assert more == pytest.approx(90, abs=1)


def test_what_is_being_freed_is_not_taken_again() -> None:
    """A cut that is not acknowledged counts as taken."""
    cut = settled(10, 10, hold=80.0)
    assert planned(cut, settled(2.3, 1), hungry(17.7, 70)) == [None, None, None]


def test_small_differences_stay() -> None:
    """A change costs tokens."""
    assert planned(hungry(49, 90), hungry(51, 90)) == [None, None]


def test_many_small_surpluses_feed_one_who_starves() -> None:
    """Each is within the band, all together are what one lacks."""
    rows = [hungry(103 / 10 * 1.0, 90) for _ in range(9)]
    starved = hungry(7.3, 90)
    assert planned(*rows, starved) == [*[pytest.approx(10)] * 9, None]


def evenly(*rates: float) -> list[float | None]:
    """The plan for some who refuse, each of whom should have 20."""
    return planned(*[hungry(rate, 90) for rate in rates], options=LedgerOptions(20.0 * len(rates)))


def test_few_are_cut_and_whole() -> None:
    """What one lacks is taken from the largest surplus, of which no more than it lacks where it is half or less."""
    assert evenly(22.5, 24, *[19.3] * 4, 16.3) == [None, pytest.approx(20), *[None] * 5]
    assert evenly(30, *[19.3] * 8, 15.6) == [pytest.approx(25.6), *[None] * 9]


def test_one_who_starves_changes_few_of_those_within_their_band() -> None:
    """As many as have together what it lacks."""
    assert evenly(*[20.8] * 6, *[19.35] * 4, 17.8) == [*[pytest.approx(20)] * 3, *[None] * 8]


def test_what_bursts_took_is_paid_back() -> None:
    """In rate, by those who have more than they need."""
    assert planned(hungry(50, 90), hungry(50, 90)) == [None, None]
    assert planned(settled(60, 30), hungry(40, 90), over=20.0)[0] is not None


def test_spare_goes_to_those_who_refuse() -> None:
    """And without them evenly, with room for Envoys that are expected."""
    assert planned(settled(0, 5), settled(0, 5)) == [pytest.approx(50, abs=1)] * 2
    options = LedgerOptions(100.0, envoys_expected=10)
    assert planned(settled(0, 5), settled(0, 5), options=options) == [pytest.approx(14, abs=1)] * 2
    low, high = planned(settled(0, 5), settled(0, 20, hungry=True, denied=20.0))
    assert low == pytest.approx(5 + 7.5, abs=1)
    assert high == pytest.approx(20 + 67.5, abs=2)


def test_weights_divide_what_is_short() -> None:
    """Twice the weight, twice the rate."""
    one, two = settled(0, 200, weight=1.0), settled(0, 200, weight=2.0)
    assert planned(one, two) == [pytest.approx(100 / 3), pytest.approx(200 / 3)]


def test_what_the_silent_may_use_is_not_divided() -> None:
    """It is theirs until their lease is over."""
    assert planned(settled(40, 40, silent=True), settled(0, 200)) == [None, pytest.approx(60)]


def test_who_holds_something_unknown_keeps_it_until_there_is_enough() -> None:
    """Half of what it is to have, at least."""
    newcomer = settled(0, 200, unknown=True)
    assert planned(settled(80, 80, silent=True), settled(19, 200), newcomer) == [None, pytest.approx(10), None]
    assert planned(settled(20, 20, silent=True), settled(10, 10), newcomer)[2] == pytest.approx(70, abs=1)


def test_a_newcomer_is_taken_to_want_what_others_want() -> None:
    """An even share, or half more than the others' average if most are known."""
    assert prior([Row("e"), Row("f")], OPTIONS) == 50
    assert prior([Row("e")], LedgerOptions(100.0, envoys_expected=10)) == 10
    known = [settled(0, 4), settled(0, 8), Row("f")]
    assert prior(known, OPTIONS) == 9
