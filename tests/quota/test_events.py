"""What waits for the store."""

from ratelimit.quota.events import EVENTS_MAX, Event, Events


def happened(at_s: float, envoy: str = "e", what: str = "acked") -> Event:
    """Something."""
    return Event(what, envoy, (), at_s)


def test_a_commit_has_what_happened_in_the_order_of_its_moments() -> None:
    """What comes later is for the next one; what is refused is committed again."""
    events = Events()
    assert not events
    for at_s in (2.0, 1.0):
        events.add(happened(at_s))
    assert events
    assert list(events) == []
    events.gather()
    assert [event.at_s for event in events] == [1.0, 2.0]
    assert (events.latest_s(9.0), bool(events)) == (9.0, True)
    events.add(happened(3.0))
    assert events.latest_s(9.0) == 3.0
    events.gather()
    assert [event.at_s for event in events] == [1.0, 2.0, 3.0]
    events.add(happened(4.0))
    events.committed()
    assert (list(events), bool(events)) == ([], True)


def test_of_too_much_the_last_of_each_kind_is_kept() -> None:
    """However long the store is away, no more is held than there are Envoys."""
    events = Events()
    for at in range(EVENTS_MAX + 1):
        events.add(happened(at, f"e{at % 3}", "closed" if at % 2 else "acked"))
    events.gather()
    assert [event.at_s for event in events] == [float(EVENTS_MAX + 1 - back) for back in (6, 5, 4, 3, 2, 1)]
