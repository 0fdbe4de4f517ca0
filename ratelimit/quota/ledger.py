"""One limit over its Envoys: reports, acknowledgements and moments in, pushes out.

Invariant: the holds of all rows together stay within the limit. A hold rises before its push goes out, and falls only
when the push is acknowledged or the lease of whoever cannot be reached is over. So the rates in force at the Envoys
never exceed the limit. What else is promised, and why: docs/decisions/0010-rlqs-ledger.md.
"""

from collections.abc import Iterable
from math import inf

from ratelimit.quota.assignment import FILL_INTERVAL_S, Abandon, Action, Probe, Push
from ratelimit.quota.bursts import GROWTH, burst, cut_burst, small
from ratelimit.quota.demand import bounded, reckon, take_in
from ratelimit.quota.division import divide, prior
from ratelimit.quota.head import Head
from ratelimit.quota.leases import back_by, has_learnt, may_hold, released_at, renew
from ratelimit.quota.options import GAP_S, AckMode, LedgerOptions
from ratelimit.quota.row import Row
from ratelimit.quota.shares import BucketShares, Totals, shares_of, totals_of
from ratelimit.quota.usage_sheet import UsageSheet
from ratelimit.quota.watch import Watch

# Envoy's fields have 32 bits.
TOKENS_MAX = 2**32 - 1
WEIGHT_MIN, WEIGHT_MAX = 0.01, 100.0
# A report of one request, at once, from an Envoy that reported longer ago than this: its bucket is a new one.
_REBORN_AFTER_S = 1.5
_STEP_BACK_S = 0.5
_LOOK_EVERY_S = 5.0
# An Envoy that reports nothing so often is told to forget the bucket.
ABANDON_AFTER = 2
_NEAR_FULL = 0.3
# One newcomer in the learning phase gets at most this part of what is left for all.
_LEARNING_EACH = 0.25
_SLOTS = "changed head late_s lease_s next_tick_s options plan_every_s replica rows"
_INSIDE = "_live _out _reported _to_answer _wanted _watch"


class Ledger:
    """The ledger of one bucket, in this process. It names its own rows by `replica`, where several share them.

    `plan_every_s` may be raised where many buckets are active, `late_s` where reports wait here. `next_tick_s` is when
    `tick` has something to do. `lease_s` is how long rows are taken to hold what they were told.
    """

    __slots__ = (*_SLOTS.split(), *_INSIDE.split())

    def __init__(self, options: LedgerOptions, learn_until_s: float = -inf, *, replica: str = "") -> None:
        self.options = options
        self.replica = replica
        self.rows: dict[str, Row] = {}
        self.head = Head(learn_until_s=learn_until_s)
        self.plan_every_s = options.tuning.plan_every_s
        self.lease_s, self.late_s = float(options.tuning.ttl_s), 0.0
        self.next_tick_s, self._wanted = inf, False
        # Envoys whose row changed since somebody emptied this.
        self.changed: set[str] = set()
        # Rows that were answered by what they have, without a look at whether they need a larger bucket.
        self._reported: list[Row] = []
        self._to_answer: dict[str, None] = {}
        self._out: dict[str, tuple[int, Action]] = {}
        # How many could be told something when that was last counted.
        self._live = 1
        self._watch = Watch()

    @property
    def empty(self) -> bool:
        """Whether nothing is held, so that nothing is lost with the ledger."""
        return not self.rows

    def take_report(self, envoy: str, allowed: int, denied: int, elapsed_s: float, now_s: float) -> Push | None:
        """`report` and `reply`."""
        self.report(envoy, allowed, denied, elapsed_s, now_s)
        return self.reply(envoy, now_s)

    def sit(self, envoy: str, sheet: UsageSheet, place: int, now_s: float) -> None:
        """Reports of an Envoy, which has just reported here, may be noted there from now on."""
        if row := self.rows.get(envoy):
            if row.noted:
                self._reckon((row,))
            row.sit(sheet, place)
            sheet.at_s[place] = now_s

    def heard(self, now_s: float) -> None:
        """Take in that reports were noted since the last tick: the next plan asks for them."""
        self._see(now_s)
        self._wanted = True
        self.next_tick_s = min(self.next_tick_s, self.head.next_plan_s)

    def report(self, envoy: str, allowed: int, denied: int, elapsed_s: float, now_s: float) -> None:
        """Take in what an Envoy counted in the `elapsed_s` (whole seconds, often 0) since its last report."""
        self._see(now_s)
        allowed, denied, elapsed_s = bounded(allowed, denied, elapsed_s)
        row = self.rows.get(envoy)
        if row is not None and row.noted:
            self._reckon((row,))
        if row is None:
            row = self._join(envoy, allowed, denied, elapsed_s)
        elif elapsed_s == 0 and allowed + denied == 1 and now_s - row.last > _REBORN_AFTER_S:
            row.begin_anew()
        elif not row.abandoned:
            self._observe(row, allowed, denied, elapsed_s)
        row.owner = self.replica
        row.last = row.since = now_s
        row.offered, row.silent, row.gone = 0.0, False, False
        if row.pend < inf:
            row.pend = now_s
        self._wanted = True
        self.changed.add(envoy)
        self._to_answer[envoy] = None
        self.next_tick_s = now_s

    def reply(self, envoy: str, now_s: float) -> Push | None:
        """What an Envoy that has just reported is told without a tick; None where something is to be decided first."""
        row = self.rows[envoy]
        if row.tokens == 0 or row.zero >= ABANDON_AFTER or row.abandoned or envoy in self._out or self.head.learning:
            return None
        del self._to_answer[envoy]
        self.next_tick_s = min(self.head.next_plan_s, self._watch.next_s)
        self._reported.append(row)
        row.exp = now_s + self.lease_s
        if row.pend < inf or row.unknown:
            return Push(envoy, row.seq, row.assignment(self.options.tuning.ttl_s))
        return row.renewed(self.options.tuning.ttl_s)

    def weigh(self, envoy: str, weight: float) -> None:
        """Give an Envoy that has reported a share of so many Envoys; 1 until it is said."""
        row, weight = self.rows.get(envoy), min(max(weight, WEIGHT_MIN), WEIGHT_MAX)
        if row is not None and weight != row.weight:
            row.weight = weight
            self.changed.add(envoy)

    def acked(self, envoy: str, seq: int, now_s: float) -> None:
        """Take in that an Envoy obeys everything up to its push `seq`."""
        self._see(now_s)
        row = self.rows.get(envoy)
        if row is None or seq != row.seq or row.gone or row.owner != self.replica:
            return
        if row.pend == inf and not row.silent:  # that of a renewal tells nothing new
            return
        self._acknowledge(row)
        if row.probed > row.last or row.silent:
            row.silent, self.next_tick_s = False, now_s
            self._to_answer[envoy] = None

    def closed(self, envoy: str, now_s: float) -> None:
        """Take in that the stream of an Envoy ended: it connects again within a report's time, or is gone."""
        self._see(now_s)
        row = self.rows.get(envoy)
        if row is None or row.owner != self.replica:
            return
        self._reckon((row,))
        row.fall_silent()
        row.stand_up()
        row.gone = True
        row.back = back_by(row, now_s, self.options.tuning) if self.options.close_frees else inf
        self.changed.add(envoy)
        self._to_answer.pop(envoy, None)
        self._out.pop(envoy, None)
        self._wanted = True
        self._watch.look_at_all(released_at(row, self.rows.values(), self.replica, self.options.tuning))
        self.next_tick_s = min(self.next_tick_s, now_s)

    def renew_leases(self, now_s: float) -> None:
        """Take all leases to be new: what happened since the last moment, or how long that is, is not known."""
        self._reckon(self.rows.values())
        renew(self.rows.values(), self.head, now_s, self.lease_s)
        self.changed.update(self.rows)
        self._watch.begin_anew(self.rows.values(), now_s + self.options.tuning.watch_every_s)

    def tick(self, now_s: float) -> list[Push]:
        """What is to be sent now."""
        self.advance(now_s)
        return self.collect()

    def advance(self, now_s: float) -> None:
        """Look after the silent, plan if it is time, and answer reports; `collect` has what is to be sent."""
        self._see(now_s)
        head = self.head
        plans = self._wanted and now_s >= head.next_plan_s
        # A plan looks at all rows, so whoever is overdue is best looked for beside it.
        if plans or now_s >= self._watch.next_s:
            self._look(now_s, reckons=plans or self._watch.looks_at_all(now_s))
        if head.learn_until_s > -inf and has_learnt(head, self.rows.values(), self.options, now_s):
            head.learn_until_s, self._wanted = -inf, True
        if self._wanted and now_s >= head.next_plan_s and not self.head.learning:
            self._plan(now_s)
        for row in map(self.rows.get, self._to_answer):
            if row is not None and row.live and row.envoy not in self._out:
                self._reckon((row,))
                self._answer(row, now_s)
        self._to_answer.clear()
        grows = bool(self._reported) and head.has_room(self.options.tuning.burst_min, self.options, now_s)
        for row in small(self._reported, self._live, self.options) if grows else ():
            if row.live and row.envoy not in self._out and self.rows.get(row.envoy) is row:
                self._reckon((row,))
                if self._grow(row, now_s):
                    self._renew(row)
        self._reported.clear()
        self.next_tick_s = self._next_tick(now_s)

    def collect(self) -> list[Push]:
        """What is to be sent of what was decided since the last call."""
        rows, out = self.rows, self._out.items()
        pushes = [Push(envoy, seq, action, envoy not in rows or rows[envoy].pend < inf) for envoy, (seq, action) in out]
        self._out.clear()
        return pushes

    def shares(self, now_s: float) -> BucketShares:
        """Who has what."""
        self._reckon(self.rows.values())
        return shares_of(list(self.rows.values()), self.head, self.options, now_s)

    def totals(self, replica: str, now_s: float) -> Totals:
        """What the Envoys of one replica have together; their demand as of the last plan."""
        return totals_of(self.rows.values(), self.head, self.options, now_s, replica)

    def _next_tick(self, now_s: float) -> float:
        if not self.rows:
            return inf
        next_s = min(self._watch.next_s, now_s + _LOOK_EVERY_S)
        if self.head.learning:
            return min(next_s, self.head.learn_until_s)
        return min(next_s, self.head.next_plan_s) if self._wanted else next_s

    def _see(self, now_s: float) -> None:
        """Take a moment in. What the leases are after a gap or a step back is not known: they are taken to be new."""
        head = self.head
        if 0 <= now_s - head.at < GAP_S:
            head.at = now_s
            return
        if self.rows and not -_STEP_BACK_S <= now_s - head.at < GAP_S:
            self.renew_leases(now_s)
        head.at = max(head.at, now_s)

    def _join(self, envoy: str, allowed: int, denied: int, elapsed_s: float) -> Row:
        now_s = self.head.at
        row = self.rows[envoy] = Row(envoy, self.replica, last=now_s, since=now_s)
        if elapsed_s >= 1 or allowed + denied > 1:
            # It is no newborn: an assignment may be in force there that is held by another row, or by none.
            duration_s = elapsed_s + 1  # whole seconds are told, so up to one more: never more than it uses
            row.unknown = self.head.learning or may_hold(self.rows.values(), row, allowed / duration_s, self.replica)
            row.estimate = (allowed + denied) / max(elapsed_s, 1)
            if self.head.learning:
                least = self.options.share_min * self.options.limit_per_s / max(len(self.rows), 1)
                self._assign(row, min(max(allowed / duration_s, min(least, 1.0)), self.options.limit_per_s))
                self.head.shown = True
        return row

    def _reckon(self, rows: Iterable[Row]) -> None:
        """Take in what was noted of these rows: nothing that it says depends on more than its own."""
        reckoned = reckon(rows, self.options.tuning, self.lease_s)
        self._reported += reckoned
        self._wanted |= bool(reckoned)

    def _observe(self, row: Row, allowed: int, denied: int, elapsed_s: float) -> None:
        now_s, options = self.head.at, self.options
        if row.unknown:
            row.unknown = self.head.learning or may_hold(self.rows.values(), row, allowed / (elapsed_s + 1), None)
        take_in(row, (allowed, denied, elapsed_s), now_s, options.tuning)
        if options.ack is AckMode.REPORT and now_s - row.pend >= options.tuning.report_acks_after_s:
            self._acknowledge(row)

    def _acknowledge(self, row: Row) -> None:
        """Nothing but the last push is in force."""
        self.changed.add(row.envoy)
        self._wanted = self._wanted or row.hold > row.rate
        row.pend = inf
        row.hold = row.rate
        row.unknown = False
        if row.abandoned:
            self._forget(row)
        elif row.tokens and row.zero < ABANDON_AFTER and not (row.silent or self.head.learning):
            row.renewed(self.options.tuning.ttl_s)  # reports are answered by it from now on
        self.next_tick_s = min(self.next_tick_s, max(self.head.at, self.head.next_plan_s))

    def _forget(self, row: Row) -> None:
        del self.rows[row.envoy]
        row.stand_up()
        row.pend = inf
        self.changed.add(row.envoy)
        self._to_answer.pop(row.envoy, None)
        self._out.pop(row.envoy, None)
        self._wanted = True

    def _look(self, now_s: float, *, reckons: bool) -> None:
        """Ask whoever is overdue, give up whoever does not answer, release what leases that are over held."""
        rows, self._watch.late_s = self.rows.values(), self.late_s
        if reckons:
            self._reckon(rows)
        quiet_s = self._watch.quiet_until(rows, now_s, self.options)
        if now_s < quiet_s:
            self._watch.next_s = max(quiet_s, now_s + self.options.tuning.watch_every_s, now_s + self.plan_every_s)
            return
        if not reckons:
            self._reckon(rows)
        for row in self._watch.due(self.rows, now_s, self.options, self.replica):
            if row.silent:
                self._forget(row)
            else:
                self._suspect(row, now_s)

    def _suspect(self, row: Row, now_s: float) -> None:
        ours = row.owner == self.replica
        if ours and row.pend == inf and self.options.ack is AckMode.PING:
            self._watch.ask(row, now_s, self.options)
            row.probed = now_s
            self._out.setdefault(row.envoy, (row.seq, Probe()))
        elif ours or now_s >= row.last + self.options.tuning.report_s + 3:
            row.fall_silent()
            self._watch.look_at_all(now_s)
            self._wanted = True
            self._out.pop(row.envoy, None)
        self.changed.add(row.envoy)

    def _plan(self, now_s: float) -> None:
        over = self.head.overspent(self.options, now_s)
        rows = list(self.rows.values())
        self._live = sum(row.live for row in rows)
        for change in divide(rows, over, self.options):
            self._assign(change.row, change.rate)
        # Each change costs tokens: while they cost too much, changes wait for more reports.
        least_s = 0.0 if over == 0 else self.options.tuning.plan_every_over_s
        self.head.next_plan_s = now_s + max(self.plan_every_s, least_s)
        self._wanted = over > 0

    def _answer(self, row: Row, now_s: float) -> None:
        """Renew the lease of whoever reported, or give a newcomer what there is."""
        if row.tokens == 0 and row.hold == 0:
            self._admit(row)
            return
        if row.zero >= ABANDON_AFTER and not self.head.learning:
            row.abandoned = True
            row.seq += 1
            self._watch.ask(row, now_s, self.options)
            row.stand_up()
            self._send(row, Abandon())
            return
        self._grow(row, now_s)
        self._renew(row)

    def _grow(self, row: Row, now_s: float) -> bool:
        """Give a bucket that is much too small the size that it should have, if a window has room for that."""
        size = burst(row, row.tokens / FILL_INTERVAL_S, self._live, self.options)
        grows = GROWTH * row.burst <= size and self.head.has_room(size, self.options, now_s)
        if grows:
            self._fill(row, size)
        return grows

    def _admit(self, row: Row) -> None:
        """The first assignment of an Envoy; where there is nothing for it, none passes until the plan."""
        live = [each for each in self.rows.values() if each.live]
        self._live = len(live)
        limit, wish = self.options.limit_per_s, prior(live, self.options)
        if self.head.learning:
            left = self.options.tuning.learning_part * limit - self.head.given
            rate = max(0.0, min(wish, left * _LEARNING_EACH))
            self.head.given += rate
            self._assign(row, rate)
            return
        free = limit - sum(each.hold for each in self.rows.values())
        if free > wish / 2:
            self._assign(row, min(wish, free))
        elif not row.unknown:
            self._renew(row)
        # Who holds an assignment that is not known keeps it until there is something for it: this is no interruption.

    def _assign(self, row: Row, rate: float) -> None:
        """Decide on a rate; nothing happens if it is the one there is."""
        tokens = min(int(rate * FILL_INTERVAL_S + 1e-6), TOKENS_MAX)
        if tokens == row.tokens and row.burst:
            return
        now_s = self.head.at
        row.reckon(now_s)
        size = burst(row, rate, self._live, self.options)
        if row.hungry and tokens < row.tokens:
            size = min(size, cut_burst(rate))
        row.tokens = tokens
        row.hold = max(row.hold, row.rate)
        self._fill(row, size)
        self._renew(row)

    def _fill(self, row: Row, size: int) -> None:
        """A changed assignment: the bucket at the Envoy starts full."""
        row.burst = size
        row.seq += 1
        self._watch.ask(row, self.head.at, self.options)
        if row.tokens:
            gift = size if row.hungry or row.fresh else _NEAR_FULL * size
            self.head.spend(gift, self.head.at)
            row.offered += gift

    def _renew(self, row: Row) -> None:
        row.exp = self.head.at + self.lease_s
        self._send(row, row.assignment(self.options.tuning.ttl_s))

    def _send(self, row: Row, action: Action) -> None:
        self.changed.add(row.envoy)
        if row.owner == self.replica:
            self._out[row.envoy] = (row.seq, action)
