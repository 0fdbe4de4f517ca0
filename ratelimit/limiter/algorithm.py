"""The table of algorithms: how hits on one counter become a decision.

An algorithm is a row of functions. The stores know how to count each row (a function in memory, a script in Redis);
the limiter knows nothing of a row but its columns. The fixed window is aligned to the Unix epoch and counts whatever
comes; the others charge nothing of a hit that does not fit, so its result says more than its count.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ratelimit.descriptors.limit import ALGORITHM_NAMES


@dataclass(slots=True)
class Counted:
    """What a hit came to: the count after it, whether it is within the limit, and what is left until `reset_s` passed.

    `reset_s` is in seconds from the batch's timestamp; `count` and `remaining` are in hits.
    """

    count: int
    allowed: bool
    remaining: int
    reset_s: int


@dataclass(frozen=True, slots=True, eq=False)
class Algorithm:
    """One row.

    `tag` stands in the counter's key, so two algorithms never share a counter.
    `name(counter, window_start)` is the key in the store at a time.
    `mergeable`: equal keys of a tick may be sent as one hit of their sum, and the counts told apart afterwards.
    `judge(count, requests_per_unit, reset_s)` makes a count a `Counted`.
    `blocked_until(window_start, window_s)`: until which second a counter that is over its limit is certain to stay so;
    the window's start where nothing is certain.
    """

    tag: str
    mergeable: bool
    name: Callable[[bytes, int], bytes]
    judge: Callable[[int, int, int], Counted]
    blocked_until: Callable[[int, int], int]


def _judge_count(count: int, requests_per_unit: int, reset_s: int) -> Counted:
    remaining = requests_per_unit - count
    return Counted(count, True, remaining, reset_s) if remaining >= 0 else Counted(count, False, 0, reset_s)


FIXED_WINDOW = Algorithm(
    tag="f",
    mergeable=True,
    name=lambda counter, window_start: counter + b"%d" % window_start,
    judge=_judge_count,
    blocked_until=lambda window_start, window_s: window_start + window_s,
)
SLIDING_WINDOW = Algorithm(
    tag="s",
    mergeable=False,
    name=lambda counter, _: counter + b"s",
    judge=_judge_count,
    blocked_until=lambda window_start, _: window_start,
)
GCRA = Algorithm(
    tag="g",
    mergeable=False,
    name=lambda counter, _: counter + b"g",
    judge=_judge_count,
    blocked_until=lambda window_start, _: window_start,
)
ALGORITHMS = dict(zip(ALGORITHM_NAMES, (FIXED_WINDOW, SLIDING_WINDOW, GCRA), strict=True))
