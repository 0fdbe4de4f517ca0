"""Fixed windows, aligned to the Unix epoch."""

from ratelimit.descriptors.limit import Unit


def window_start(unit: Unit, now: int) -> int:
    """The second at which the window of `unit` that holds the second `now` began."""
    return now - now % unit.seconds


def reset_s(unit: Unit, now: int) -> int:
    """How long the window of `unit` that holds the second `now` goes on, in seconds."""
    return unit.seconds - now % unit.seconds
