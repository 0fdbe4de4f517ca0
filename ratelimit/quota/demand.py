"""What an Envoy wants, from what it allowed and refused.

A report tells two counts of an interval. While they fit the estimate, within the noise of such a count, they are
averaged over ever longer; a run of small differences the same way is a drift, a large one is a step. When in the
interval a step came is seen from the two counts together: before it the Envoy was served in another way than after it.
"""

# ruff: noqa: FURB136 - `min` and `max` cost more than all else here, with every report

from collections.abc import Iterable
from math import sqrt

from ratelimit.quota.assignment import FILL_INTERVAL_S
from ratelimit.quota.options import Tuning
from ratelimit.quota.row import Row
from ratelimit.quota.usage_sheet import COUNT_MAX, ELAPSED_S_MAX, NOTED, OPEN

# Below so many expected requests the noise of a count is not that of a Poisson variable any more.
_EXPECTED_MIN = 4.0
_DURATION_S_MIN = 0.5
_RUN_KEEPS = 0.6
_GAIN_DRIFT = 0.6
_HUNGRY_PART, _HUNGRY_MIN = 0.05, 2


def bounded(allowed: int, denied: int, elapsed_s: float) -> tuple[int, int, float]:
    """The numbers of a report, as far as they can be."""
    return min(max(allowed, 0), COUNT_MAX), min(max(denied, 0), COUNT_MAX), min(max(elapsed_s, 0.0), ELAPSED_S_MAX)


def duration(elapsed_s: float, since_last_s: float) -> float:
    """How long an interval was. Whole seconds are told, so our clock says more; but not where reports were lost."""
    if elapsed_s <= since_last_s <= elapsed_s + 1 and since_last_s >= _DURATION_S_MIN:
        return since_last_s
    return max(elapsed_s, min(since_last_s, elapsed_s + 1), _DURATION_S_MIN)


def take_in(row: Row, counts: tuple[int, int, float], at_s: float, tuning: Tuning) -> None:
    """Take in a report that came at `at_s`: allowed, denied, and the seconds that it tells."""
    allowed, denied, elapsed_s = counts
    row.reckon(at_s)
    observe(row, allowed, denied, duration(elapsed_s, at_s - row.last), tuning)
    row.last, row.offered = at_s, 0.0


def reckon(rows: Iterable[Row], tuning: Tuning, lease_s: float) -> list[Row]:
    """Take in what is noted of these rows, each as of when it came; of which something was.

    Such a report was answered by the row's renewal. Nothing about the row may have changed since.
    """
    found = []
    for row in rows:
        sheet, place = row.sheet, row.place
        if sheet is None or sheet.states[place] != NOTED:
            continue
        # `take_in` written out: without its calls it takes an eighth less, for each report of `make bench-rlqs`.
        at_s, elapsed_s, tokens = sheet.at_s[place], sheet.elapsed_s[place], row.tokens
        row.offered += tokens / FILL_INTERVAL_S * (at_s - row.since)
        observe(row, sheet.allowed[place], sheet.denied[place], duration(elapsed_s, at_s - row.last), tuning)
        row.last = row.since = at_s
        row.offered = 0.0
        row.exp = at_s + lease_s
        sheet.states[place] = OPEN
        found.append(row)
    return found


def observe(row: Row, allowed: int, denied: int, duration_s: float, tuning: Tuning) -> None:
    """Take in the counts of an interval in which `row.offered` tokens came."""
    requests = allowed + denied
    seen = requests / duration_s
    expected = row.estimate * duration_s
    score = (requests - expected) / sqrt(expected if expected > _EXPECTED_MIN else _EXPECTED_MIN)
    row.run = _RUN_KEEPS * row.run + (1 - _RUN_KEEPS) * score
    if row.fresh:
        row.estimate, row.gain, row.run = seen, 0.5, 0.0
    elif abs(score) > tuning.step_sigmas:
        row.estimate = _after_step(row, allowed / duration_s, denied / duration_s, duration_s)
        row.gain, row.run = 0.6, 0.0
    elif abs(row.run) > tuning.run_sigmas:
        row.estimate += _GAIN_DRIFT * (seen - row.estimate)
        row.gain, row.run = 0.4, row.run / 2
    else:
        row.estimate += row.gain * (seen - row.estimate)
        gain = row.gain / (1 + row.gain)
        row.gain = gain if gain > tuning.gain_min else tuning.gain_min
    row.hungry = denied > _HUNGRY_MIN and denied > _HUNGRY_PART * requests
    row.denied = denied / duration_s
    row.zero = row.zero + 1 if requests == 0 else 0
    row.fresh = False


def _after_step(row: Row, allowed: float, denied: float, duration_s: float) -> float:
    """The demand after a step inside the interval, all in requests per second."""
    before, seen, offered = row.estimate, allowed + denied, row.offered / duration_s
    if seen > before and denied > 0 and before < offered:
        # Served whole before the step, `offered` after it: that tells the part of the interval after it.
        part = 0.5
        if offered - before > 3 * sqrt(offered / duration_s):
            part = (allowed - before) / (offered - before)
        return max(seen, offered + denied / min(1.0, max(0.15, part)))
    if seen < before and before > 1.02 * offered:
        # Refused a part before the step, nothing after it.
        part = min(0.9, max(0.0, denied / (before - offered)))
        return min(seen, max(0.0, (allowed - part * offered) / (1 - part)))
    return seen
