"""Where reports are noted of Envoys whose ledger is shared."""

from ratelimit.quota.seats import Counts, Seats
from ratelimit.quota.usage_sheet import CLOSED, OPEN, UsageSheet


def test_what_is_noted_is_handed_over_before_anything_changes() -> None:
    """Before the place is closed, another is taken, or none."""
    noted: list[tuple[str, Counts, float]] = []
    seats, sheet, other = Seats(lambda *each: noted.append(each)), UsageSheet(), UsageSheet()
    place, elsewhere = sheet.sit(0.0), other.sit(0.0)
    seats.sit("e", sheet, place, 1.0)
    assert (sheet.states[place], sheet.at_s[place]) == (CLOSED, 1.0)
    seats.let("e", opens=True)
    assert sheet.take(place, 3, 1, 5, 6.0)
    seats.take_all()
    assert (noted.pop(), sheet.states[place]) == (("e", (3, 1, 5.0), 6.0), OPEN)
    assert sheet.take(place, 4, 0, 5, 7.0)
    seats.let("e", opens=False)
    assert (noted.pop(), sheet.states[place]) == (("e", (4, 0, 5.0), 7.0), CLOSED)
    seats.let("e", opens=True)
    assert sheet.take(place, 5, 0, 5, 8.0)
    seats.sit("e", other, elsewhere, 9.0)
    assert (noted.pop(), sheet.states[place], other.at_s[elsewhere]) == (("e", (5, 0, 5.0), 8.0), CLOSED, 9.0)
    seats.let("e", opens=True)
    assert other.take(elsewhere, 6, 0, 5, 10.0)
    seats.stand_up("e")
    assert (noted.pop(), other.states[elsewhere]) == (("e", (6, 0, 5.0), 10.0), CLOSED)


def test_who_has_no_seat_has_nothing_noted() -> None:
    """That is no error: not all that is known of has reported here."""
    seats = Seats(lambda *_: None)
    seats.take("e")
    seats.let("e", opens=True)
    seats.stand_up("e")
    seats.take_all()
