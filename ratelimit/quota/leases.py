"""How long what an Envoy was told may be in force, when nothing is heard of it."""

from collections.abc import Collection, Iterable
from math import ceil, inf

from ratelimit.quota.head import Head
from ratelimit.quota.options import AckMode, LedgerOptions, Tuning
from ratelimit.quota.row import Row

# An Envoy whose stream ended connects again at its next report; after that and this it is taken to be gone.
_RECONNECT_SLACK_S = 0.6
# All who live have reported in a report's time and this.
_REPORTED_SLACK_S = 1.0
# A report that was sent so shortly before the end may be lost with the stream, so that the next one is another later.
_LOST_WITH_STREAM_S = 0.5


def back_by(row: Row, now_s: float, tuning: Tuning) -> float:
    """Until when an Envoy whose stream ended now has come back, if it lives."""
    reports = ceil((now_s + _LOST_WITH_STREAM_S - row.last) / tuning.report_s)
    return row.last + max(1, reports) * tuning.report_s + _RECONNECT_SLACK_S


def released_at(row: Row, rows: Iterable[Row], replica: str, tuning: Tuning) -> float:
    """When nothing of a silent row can be in force any more, as far as `replica` knows.

    Whether its Envoy came back is known by the replica that it was connected to, others may hear of that later. It may
    also have come back under another name, with its old assignment.
    """
    over_s = row.exp + tuning.lease_slack_s
    if not row.gone or row.owner != replica or any(each.unknown for each in rows):
        return over_s
    return min(over_s, row.back)


def overdue_at(row: Row, options: LedgerOptions) -> float:
    """When a row that is not silent should have been heard of."""
    tuning = options.tuning
    if options.ack is AckMode.PING and row.pend < inf:
        return row.pend + tuning.ack_within_s
    return max(row.last + tuning.overdue_s, row.probed) + tuning.report_s


def may_hold(rows: Iterable[Row], row: Row, rate: float, replica: str | None) -> bool:
    """Whether an Envoy without an assignment here may obey that of another row, whose stream ended.

    `rate` is what it let pass. With `replica` that row may also be one of another replica, which may have ended just
    now; a report later that would be known.
    """
    return any(
        (each.silent or (replica is not None and each.owner != replica)) and each.hold >= rate
        for each in rows
        if each is not row
    )


def has_learnt(head: Head, rows: Collection[Row], options: LedgerOptions, now_s: float) -> bool:
    """Whether all that may be in force is known: all have reported, or nobody came who had an assignment."""
    tuning = options.tuning
    if 0 < options.envoys_expected <= len(rows) and not any(row.unknown for row in rows):
        return True
    early_s = tuning.ttl_s - tuning.report_s - _REPORTED_SLACK_S
    return now_s >= head.learn_until_s - (0 if head.shown else early_s)


def renew(rows: Collection[Row], head: Head, now_s: float, lease_s: float) -> None:
    """Take all leases to begin now, and the moments before to be this one."""
    head.at = head.next_plan_s = now_s
    head.spent = [(now_s, tokens) for _, tokens in head.spent]
    if head.learn_until_s > -inf:
        head.learn_until_s = now_s + lease_s
    for row in rows:
        row.last = row.since = now_s
        row.exp = now_s + lease_s
        row.back, row.probed = inf, -inf
        row.pend = now_s if row.pend < inf else inf
