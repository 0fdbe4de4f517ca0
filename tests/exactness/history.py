"""Whether the answers about one counter are those of one counter: a history of fetch-and-add operations.

Each operation adds `amount` and learns the count after it. Sorted by that count, the operations are the order in which
the counter took them, so three things can be seen without knowing anything of the store:

- no two ranges (after - amount, after] overlap: a count that was given twice means lost hits;
- the ranges leave no gap, but for hits whose outcome nobody knows: a gap is hits counted that nobody sent, or doubled;
- an operation that ended before another began comes before it.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """One answered hit: moments of one clock, in seconds, the hits it added, the count it was told."""

    began: float
    ended: float
    after: int
    amount: int = 1


def faults(operations: Iterable[Operation], *, unknown: int = 0) -> list[str]:
    """What is wrong with the history of one counter that began at 0; `unknown` hits may fill its gaps."""
    found: list[str] = []
    reached, missing, latest = 0, 0, float("-inf")
    for operation in sorted(operations, key=lambda each: (each.after, each.began)):
        before = operation.after - operation.amount
        if before < reached:
            found.append(f"the count {operation.after} overlaps what was given up to {reached}")
        missing += max(0, before - reached)
        if operation.ended < latest:
            found.append(f"the count {operation.after} was told before an operation with a lower one began")
        reached, latest = max(reached, operation.after), max(latest, operation.began)
    if missing > unknown:
        found.append(f"{missing} counts were given to nobody, and {unknown} have an unknown outcome")
    return found
