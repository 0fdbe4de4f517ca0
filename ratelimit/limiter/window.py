"""Fixed windows, aligned to the Unix epoch."""

from ratelimit.descriptors.limit import Unit


def window_start(unit: Unit, now: int) -> int:
    """The second at which the window of `unit` that holds the second `now` began."""
    return now - now % unit.seconds


def seconds_until_reset(unit: Unit, now: int) -> int:
    """How long the window goes on after the second `now`: 1 up to the unit's length."""
    return unit.seconds - now % unit.seconds
