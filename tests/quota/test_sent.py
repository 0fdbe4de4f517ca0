"""What Envoys were sent last, and where their reports are noted."""

from math import inf

from ratelimit.quota.assignment import Abandon, Push
from ratelimit.quota.sent import Counts, Sent
from ratelimit.quota.usage_sheet import CLOSED, OPEN, UsageSheet


def test_what_is_noted_is_handed_over_before_anything_changes() -> None:
    """Before the place is closed, another is taken, or none."""
    noted: list[tuple[str, Counts, float]] = []
    sent, sheet, other = Sent(lambda *each: noted.append(each)), UsageSheet(), UsageSheet()
    place, elsewhere = sheet.sit(0.0), other.sit(0.0)
    sent.sit("e", sheet, place, 1.0)
    assert (sheet.states[place], sheet.at_s[place]) == (CLOSED, 1.0)
    sent.let("e", opens=True)
    assert sheet.take(place, 3, 1, 5, 6.0)
    sent.take_all()
    assert (noted.pop(), sheet.states[place]) == (("e", (3, 1, 5.0), 6.0), OPEN)
    assert sheet.take(place, 4, 0, 5, 7.0)
    sent.let("e", opens=False)
    assert (noted.pop(), sheet.states[place]) == (("e", (4, 0, 5.0), 7.0), CLOSED)
    sent.let("e", opens=True)
    assert sheet.take(place, 5, 0, 5, 8.0)
    sent.sit("e", other, elsewhere, 9.0)
    assert (noted.pop(), sheet.states[place], other.at_s[elsewhere]) == (("e", (5, 0, 5.0), 8.0), CLOSED, 9.0)
    sent.let("e", opens=True)
    assert other.take(elsewhere, 6, 0, 5, 10.0)
    sent.stand_up("e")
    assert (noted.pop(), other.states[elsewhere]) == (("e", (6, 0, 5.0), 10.0), CLOSED)


def test_who_has_no_seat_has_nothing_noted() -> None:
    """That is no error: not all that is known of has reported here."""
    sent = Sent(lambda *_: None)
    sent.take("e")
    sent.let("e", opens=True)
    sent.stand_up("e")
    sent.take_all()


def test_what_was_sent_is_known_until_nothing_is_in_force() -> None:
    """Also when its stream ends: its lease does not."""
    sent, push, sheet = Sent(lambda *_: None), Push("e", 1, Abandon()), UsageSheet()
    assert (sent.get("e"), sent.leased_until("e")) == (None, -inf)
    sent.put("e", None)
    sent.put("e", push)
    sent.lease("e", 12.0)
    sent.sit("e", sheet, sheet.sit(0.0), 1.0)
    assert (sent.get("e"), sent.leased_until("e")) == (push, 12.0)
    sent.stand_up("e")
    assert (sent.get("e"), sent.leased_until("e")) == (None, 12.0)
    sent.sit("e", sheet, sheet.sit(0.0), 2.0)
    sent.forget("e")
    assert sent.leased_until("e") == -inf
    sent.let("e", opens=True)
    assert sheet.states[1] == OPEN  # it is there, and may be told something new
    sent.stand_up("e")
    sent.forget("e")
    sent.forget("e")
    assert sent._envoys == {}
