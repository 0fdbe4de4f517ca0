"""Max-min fairness: nobody gets more than it wants, and nobody who wants more has less than another for its weight."""

from collections.abc import Sequence


def max_min(wants: Sequence[float], weights: Sequence[float], capacity: float) -> list[float]:
    """The fair share of each, in order; together at most `capacity`."""
    shares = list(wants)
    left, weight_left = max(0.0, capacity), sum(weights)
    order = sorted(range(len(wants)), key=lambda at: wants[at] / weights[at])
    for place, at in enumerate(order):
        level = left / weight_left
        if wants[at] > level * weights[at]:
            for rest in order[place:]:
                shares[rest] = level * weights[rest]
            break
        left -= wants[at]
        weight_left -= weights[at]
    return shares
