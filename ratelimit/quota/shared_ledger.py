"""One limit over Envoys that are connected to several replicas, which share its ledger in a store.

Theory. A replica works on a copy. What happened since its last commit (reports, acknowledgements, ends of streams) is
applied to the copy and planned on, and the rows that changed are committed under the version that the copy was made
from. Where another replica was first, the commit is refused with what changed: the copy is made anew from that, the
same events are applied to it, and it is committed again. So holds are added up over all replicas before anything that
raises one goes out: a push is sent when the commit that decided it is known to be in the store, and never before.

A replica sends to its own Envoys only. What another one decided for them is a row whose number is not the one that was
sent last; it is sent after the next commit.

A report is answered at once, by what was sent last, so a reply never waits for the store; while the store is away that
is all that happens. The lease that such a reply renews is in the store one synchronisation later, so leases are taken
to last that much longer than they do.

Moments inside are those of the store's clock, which all replicas share.
"""

from collections.abc import Callable, Mapping
from math import inf

from ratelimit.errors import StoreError
from ratelimit.quota.assignment import Abandon, Assign, Push
from ratelimit.quota.events import Event, Events
from ratelimit.quota.head import Head
from ratelimit.quota.ledger_copy import LedgerCopy
from ratelimit.quota.ledger_store import NOTHING, Commit, CommitResult, Outdated, SharedPlace
from ratelimit.quota.options import GAP_S, LedgerOptions
from ratelimit.quota.pace import Pace
from ratelimit.quota.row import Row
from ratelimit.quota.sent import Counts, Sent
from ratelimit.quota.shares import BucketShares, Totals
from ratelimit.quota.store_clock import StoreClock
from ratelimit.quota.usage_sheet import UsageSheet

# Tries on fresh rows in a row; then the next synchronisation's time is waited for.
TRIES_MAX = 3
RETRY_S = 1.0
CLOCK_BACK_S = 5.0
# Who heard nothing of the store for so long may be the one that was away: others may have released what it sent.
OUT_OF_TOUCH_S = 7.0


class SharedLedger:
    """A `Ledger` of which other replicas have copies.

    `wake` is called when an answer of the store brought something to send.
    """

    def __init__(
        self,
        options: LedgerOptions,
        place: SharedPlace,
        learn_until_s: float = -inf,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._place = place
        self._wake = wake
        self._learn_until_s = learn_until_s
        self.plan_every_s, self.late_s = options.tuning.plan_every_s, 0.0
        self.next_tick_s = inf
        self.copy = LedgerCopy(options, replica=place.replica)
        # What the store has, as far as is known.
        self._version = NOTHING
        self._rows: dict[str, bytes] = {}
        self._head = b""
        self._clock = StoreClock()
        self._pace = Pace(self.plan_every_s)
        self._now = self._asked_at = 0.0
        # An answer of the store was missed since the last commit.
        self._failed = False
        self._events = Events()
        # Reports that were not answered yet.
        self._reported: dict[str, Event] = {}
        # Rows that may be different from what was decided here.
        self._overtaken: set[str] = set()
        self._in_flight = False
        self._tries = 0
        # Whether others decide for our Envoys too: that is seen by asking.
        self._shared = False
        self._sync_at = -inf
        # When the store last answered; an error since then is None.
        self._in_touch_at: float | None = -inf
        self._ready: dict[str, Push] = {}
        self._sent = Sent(self._take_note)
        # Whether reports were noted since the last tick.
        self._heard = False

    @property
    def options(self) -> LedgerOptions:
        """What it is made for."""
        return self.copy.options

    @options.setter
    def options(self, options: LedgerOptions) -> None:
        self.copy.options = options

    @property
    def empty(self) -> bool:
        """Whether no Envoy of this replica has a row, and nothing waits for the store."""
        ours = any(row.owner == self._place.replica for row in self.copy.rows.values())
        return not (ours or self._events or self._in_flight)

    def take_report(self, envoy: str, allowed: int, denied: int, elapsed_s: float, now_s: float) -> Push | None:
        """See `Ledger.take_report`: the answer is what was sent last, or is to be sent now."""
        self._sent.take(envoy)
        if elapsed_s < 1:
            # The bucket may be a new one: what the old one was told must not be told it.
            self._sent.put(envoy, None)
        sent = self._sent.get(envoy)
        if sent is not None and envoy in self._ready:
            sent = self._ready[envoy]
            if isinstance(sent.action, Assign):
                self._sent.put(envoy, self._ready.pop(envoy))
            else:
                sent = None
        elif not self._may_renew(envoy, now_s):
            sent = None
        event = Event("take_report", envoy, (allowed, denied, elapsed_s), now_s, sent is not None)
        self._events.add(event)
        if sent is None:
            self._reported[envoy] = event
            if self._sent.get(envoy) is None and self._tries == 0:
                self._sync_at = min(self._sync_at, now_s)
            self.next_tick_s = now_s
        else:
            self._now = now_s
            self._reported.pop(envoy, None)
            self._sent.lease(envoy, now_s + self.options.tuning.ttl_s)
            self.next_tick_s = self._next_tick(now_s)
        return sent

    def weigh(self, envoy: str, weight: float) -> None:
        """See `Ledger.weigh`."""
        row = self.copy.rows.get(envoy)
        if row is None or row.weight != weight:
            # Right after its report.
            self._note(Event("weigh", envoy, (weight,), self._events.latest_s(self._now), timed=False))

    def sit(self, envoy: str, sheet: UsageSheet, place: int, now_s: float) -> None:
        """See `Ledger.sit`."""
        self._sent.sit(envoy, sheet, place, now_s)
        self._let(envoy)

    def heard(self, now_s: float) -> None:
        """See `Ledger.heard`."""
        self._now, self._heard = now_s, True
        self.next_tick_s = min(self.next_tick_s, max(now_s, self._sync_at))

    def acked(self, envoy: str, seq: int, now_s: float) -> None:
        """See `Ledger.acked`."""
        row, sent = self.copy.rows.get(envoy), self._sent.get(envoy)
        if sent is not None and sent.asks and sent.seq == seq:
            self._sent.put(envoy, Push(envoy, seq, sent.action, asks=False))
            self._let(envoy)
        if row is None or row.pend < inf or row.silent:  # that of a renewal tells nothing new
            self._note(Event("acked", envoy, (seq,), now_s))

    def closed(self, envoy: str, now_s: float) -> None:
        """See `Ledger.closed`."""
        self._sent.stand_up(envoy)
        self._ready.pop(envoy, None)
        self._reported.pop(envoy, None)
        self._note(Event("closed", envoy, (), now_s))

    def tick(self, now_s: float) -> list[Push]:
        """What is to be sent now; see `Ledger.tick`."""
        self._now = now_s
        if not self._in_flight and now_s >= self._sync_at and self._is_due(now_s):
            self._tries = 0
            self._heard = False
            self._sync()
        pushes = dict(self._ready)
        self._ready.clear()
        for envoy, event in list(self._reported.items()):
            if envoy in pushes:
                del self._reported[envoy]
            elif (sent := self._sent.get(envoy)) and self._may_renew(envoy, now_s):
                pushes[envoy] = sent
                event.answered = True
                del self._reported[envoy]
        for envoy, push in pushes.items():
            if isinstance(push.action, Assign):
                self._sent.put(envoy, push)
                self._sent.lease(envoy, now_s + push.action.ttl_s)
                self._let(envoy)
            elif isinstance(push.action, Abandon):
                self._sent.stand_up(envoy)
        self.next_tick_s = self._next_tick(now_s)
        return list(pushes.values())

    def shares(self, now_s: float) -> BucketShares:
        """Who has what, with the Envoys of all replicas, as of the last commit."""
        return self.copy.shares(self._clock.there(now_s))

    def totals(self, replica: str, now_s: float) -> Totals:
        """See `Ledger.totals`; as of the last commit."""
        return self.copy.totals(replica, self._clock.there(now_s))

    def _may_renew(self, envoy: str, now_s: float) -> bool:
        """Whether what was sent last may be sent again: not what is over, nor by whom others may have given up."""
        in_touch = self._in_touch_at is None or now_s - self._in_touch_at < OUT_OF_TOUCH_S
        return in_touch and now_s < self._sent.leased_until(envoy)

    def _note(self, event: Event) -> None:
        self._events.add(event)
        self.next_tick_s = min(self.next_tick_s, max(self._now, self._sync_at))

    def _let(self, envoy: str) -> None:
        """Have its reports noted as long as they are answered by what was sent last, and that is obeyed."""
        sent = self._sent.get(envoy)
        waits = sent is None or sent.asks or envoy in self._ready or envoy in self._reported
        self._sent.let(envoy, opens=not waits)

    def _take_note(self, envoy: str, counts: Counts, at_s: float) -> None:
        self._sent.lease(envoy, at_s + self.options.tuning.ttl_s)
        self._events.add(Event("take_report", envoy, counts, at_s, answered=True))

    def _is_due(self, now_s: float) -> bool:
        news = self._heard or self._shared or bool(self._events)
        return news or self._clock.there(now_s) >= self.copy.next_tick_s

    def _next_tick(self, now_s: float) -> float:
        if self._in_flight:
            return now_s + RETRY_S
        if self._events or self._heard or self._shared:
            return max(now_s, self._sync_at)
        return max(self._clock.here(self.copy.next_tick_s), self._sync_at)

    def _sync(self) -> None:
        """Commit what is new. The first time ask what there is: before, the time there is not known."""
        ttl_s = self.options.tuning.ttl_s
        self._pace.follow(self.plan_every_s, ttl_s, self._now)
        self.copy.lease_s = ttl_s + self._pace.unseen_s
        self._sync_at = self._now + self._pace.sync_every_s
        commit = Commit(self._place.bucket, self._version)
        if self._clock.known:
            self._work()
            self._put_changes(commit)
        self._in_flight, self._asked_at = True, self._now
        self._place.store.commit(commit, lambda result: self._answered(commit, result))

    def _work(self) -> None:
        """Bring the copy up to date: what happened, what others decided, and a plan."""
        copy, now_s = self.copy, self._clock.there(self._now)
        self._sent.take_all()
        self._events.gather()
        copy.plan_every_s, copy.late_s = self.plan_every_s, self.late_s
        if self._clock.stepped or not -CLOCK_BACK_S < now_s - copy.head.at < GAP_S:
            # Nobody committed for long: what others sent meanwhile is not known.
            copy.renew_leases(now_s)
        for event in self._events:
            self._apply(event)
        if self._failed:
            copy.distrust_ends()
        for envoy in self._overtaken:
            row, sent = copy.rows.get(envoy), self._sent.get(envoy)
            if row is None or sent is None or row.owner != self._place.replica:
                continue
            if row.seq != sent.seq and row.live:
                row.pend = inf if row.pend == inf else copy.head.at
                copy.answer(envoy)
        copy.advance(max(now_s, copy.head.at))

    def _apply(self, event: Event) -> None:
        copy, row = self.copy, self.copy.rows.get(event.envoy)
        if not event.timed:
            getattr(copy, event.what)(event.envoy, *event.arguments)
            return
        at_s = self._clock.there(event.at_s)
        if row is not None and row.owner != self._place.replica and at_s < row.last:
            # It was before the Envoy went to another replica, which has heard of it since.
            return
        # Others may have committed since: their moments are later than that of the event.
        push = getattr(copy, event.what)(event.envoy, *event.arguments, max(at_s, copy.head.at))
        if push is not None and not event.answered:
            copy.answer(event.envoy)

    def _put_changes(self, commit: Commit) -> None:
        rows: dict[str, bytes | None] = {}
        for envoy in self.copy.changed:
            row = self.copy.rows.get(envoy)
            if row is not None:
                rows[envoy] = row.pack()
            elif envoy in self._rows:
                rows[envoy] = None
        commit.rows = rows
        commit.head = self.copy.head.pack() if rows else None

    def _answered(self, commit: Commit, result: CommitResult) -> None:
        self._in_flight = False
        if isinstance(result, StoreError):
            # Whether it was applied is not known. If it was, the next commit is refused, and shows what is there.
            self._restore({envoy: self._rows.get(envoy) for envoy in self.copy.changed})
            self._sync_at = self._now + RETRY_S
            self._in_touch_at = None
            self._failed = True
            self.next_tick_s = self._now
            return
        self._in_touch_at = self._now
        first = not self._clock.known
        self._clock.hear(result.now_s, self._asked_at)
        if isinstance(result, Outdated):
            self._start_anew(result)
        elif first:
            self.copy.head = Head(learn_until_s=self._clock.there(self._learn_until_s))
        else:
            self._take_over(commit, result.version)
            return
        self._tries += 1
        if self._tries <= TRIES_MAX:
            self._sync()
        else:
            self.next_tick_s = min(self.next_tick_s, self._next_tick(self._now))

    def _take_over(self, commit: Commit, version: int) -> None:
        """The store has what was committed: it can be sent."""
        self._version = version
        for envoy, packed in commit.rows.items():
            if packed is None:
                self._rows.pop(envoy, None)
                self._sent.forget(envoy)
            else:
                self._rows[envoy] = packed
                renewal = self.copy.rows[envoy].renewal
                if renewal is not None and renewal == self._sent.get(envoy):
                    self._sent.put(envoy, renewal)  # held once
        self._head = self._head if commit.head is None else commit.head
        self.copy.changed.clear()
        self._events.committed()
        self._clock.stepped = self._failed = False
        for push in self.copy.collect():
            self._ready[push.envoy] = push
            self._let(push.envoy)
        if self._shared or self._overtaken:
            self._shared = any(row.owner != self._place.replica for row in self.copy.rows.values())
        self._overtaken.clear()
        if self._ready:
            self.next_tick_s = self._now
            self._wake()

    def _start_anew(self, result: Outdated) -> None:
        """Make the copy from what the store has."""
        self._sent.take_all()
        stale: dict[str, bytes | None] = {envoy: self._rows.get(envoy) for envoy in self.copy.changed}
        ours: dict[str, bytes] = {}
        if result.whole:
            missing = {envoy: row for envoy, row in self._rows.items() if envoy not in result.rows}
            ours = {envoy: row for envoy, row in missing.items() if self._sent.get(envoy) is not None}
            stale.update(dict.fromkeys(self._rows))
            self._rows.clear()
        self._rows.update(result.rows)
        stale.update(result.rows)
        lost = self._version != NOTHING and result.version == NOTHING
        self._version, self._head = result.version, result.head
        self._restore(stale)
        if lost:
            self.copy.head = Head(learn_until_s=self._clock.there(self._now) + self.options.tuning.ttl_s, shown=True)
        for envoy, packed in ours.items():
            self._put_back(Row.unpack(envoy, packed))

    def _put_back(self, row: Row) -> None:
        """What was sent is in force until its lease is over, whatever the store says."""
        until_s = self._sent.leased_until(row.envoy)
        if until_s + self.options.tuning.lease_slack_s <= self._now:
            self._unsend(row.envoy)
            return
        row.exp = self._clock.there(until_s) + self._pace.unseen_s
        self.copy.rows[row.envoy] = row
        self.copy.changed.add(row.envoy)
        self._overtaken.add(row.envoy)

    def _unsend(self, envoy: str) -> None:
        """What was sent is no longer what is to be said."""
        self._sent.put(envoy, None)
        self._let(envoy)

    def _restore(self, stale: Mapping[str, bytes | None]) -> None:
        rows: dict[str, Row | None] = {}
        for envoy, packed in stale.items():
            try:
                row = None if packed is None else Row.unpack(envoy, packed)
            except ValueError:
                row = None
            rows[envoy] = row
            if row is not None and row.owner != self._place.replica:
                # It went to another replica, and what it was told here is no longer what it obeys.
                self._unsend(envoy)
        try:
            head = Head.unpack(self._head)
        except ValueError:
            head = Head(learn_until_s=self._clock.there(self._learn_until_s))
        self.copy.restore(rows, head)
        self._overtaken.update(rows)
