"""One stream of an Envoy: its reports to ledgers, and what ledgers say back to it."""

import asyncio
import time
from array import array
from collections import deque
from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.lifetime import end_tasks
from ratelimit.quota.assignment import Abandon, Assign, Push
from ratelimit.quota.options import TUNING, AckMode
from ratelimit.service.rlqs.acks import came_through_a_proxy
from ratelimit.service.rlqs.bindings import BLANKET_TTL_S, Binding, Bindings, Shared
from ratelimit.service.rlqs.messages import Reports, Usage, blanket, read_reports, response
from ratelimit.service.rlqs.order import Order
from ratelimit.service.rlqs.outbox import Outbox, Waiting

# Who reports nothing for so long has nothing left of what it was told.
TTL_S = TUNING.ttl_s
# After so much of a report, and of time, others have their turn.
USAGES_AT_ONCE, SLICE_S = 100, 0.002
ACTIONS_AT_ONCE = 500
NAME_CHARACTERS_MAX = 256
# What many ledgers say one after the other goes in a few responses: with so many buckets they are a second apart, at
# most WRITE_EVERY_S. What answers a report does not wait.
BUCKETS_PER_S = 2_500
WRITE_EVERY_S = 0.4
# Whether what is written is read is asked at least so often, as far as something is written.
ASK_EVERY_S = 4.0
# A report that waited longer to be taken in was written well before: what the next one covers is not known that well.
PROMPT_S = 0.5


class QuotaStream:
    """Made inside the running event loop. `unnamed` is how its Envoy is called in ledgers unless it says."""

    def __init__(self, shared: Shared, context: Any, unnamed: str) -> None:
        self._shared = shared
        self._context = context
        self._unnamed = unnamed
        self._loop = asyncio.get_running_loop()
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        settings = shared.settings
        self._can_ping = hasattr(context, "acknowledged") and settings.rlqs_ack != "report"
        self._detects = self._can_ping and settings.rlqs_ack == "detect"
        self._by_report = False
        self._bindings = Bindings(shared, self, AckMode.PING if self._can_ping else AckMode.REPORT)
        self._bindings.name = _name(metadata, settings.rlqs_envoy_metadata) or unnamed
        self._bindings.kind = metadata.get(settings.rlqs_class_metadata, "") if settings.rlqs_class_metadata else ""
        self._outbox = Outbox(self._tell)
        self._wake = asyncio.Event()
        self._waking: asyncio.TimerHandle | None = None
        self._written_s = float("-inf")
        # A report is being taken: what it is answered goes out when all of it is.
        self._taking = False
        # Until when reports were taken in late.
        self._late_s = float("-inf")
        self._rested = False
        self._unread: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._asked_s = float("-inf")
        self._budget = float(settings.rlqs_usages_per_second)
        self._budget_s = self._loop.time()
        self.open = True
        self._displaced = False
        self._order: Order | None = None
        if self._detects and came_through_a_proxy(metadata.items()):
            self._fall_back("it came through a proxy, which would answer for its Envoy")

    @property
    def name(self) -> str:
        """What its Envoy is called in ledgers."""
        return self._bindings.name

    async def run(self, requests: Any) -> None:
        """Serve it to its end. Raises RpcError for what ends it before its client does."""
        reading, writing = asyncio.ensure_future(self._read(requests)), asyncio.ensure_future(self._write())
        try:
            done, _ = await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            await end_tasks(reading, writing)

    def push(self, binding: Binding, push: Push) -> None:
        """Send what a ledger says of a bucket."""
        self._push(binding, push, self._loop.time())

    def _push(self, binding: Binding, push: Push, now_s: float) -> None:
        """Put it where it is written from."""
        if push.seq != binding.seq:
            binding.seq, binding.pushed_s = push.seq, now_s
        self._outbox.put(binding, push)
        if not self._taking:
            self._wake_soon(now_s)
        if isinstance(push.action, Abandon):
            self._bindings.forget(binding.bucket)

    def close(self) -> None:
        """The stream is over."""
        self.open = False
        self._wake_no_more()
        self._bindings.leave_all()

    async def _read(self, requests: Any) -> None:
        self._loop.call_soon(self._rests)
        async for message in requests:
            waited, came_s = not self._rested, self._loop.time()
            most = self._shared.settings.rlqs_stream_buckets_max
            reports = read_reports(message, most, self._bindings.known, self._order)
            self._order = reports.order
            if reports.repeats and self._bindings.places.order is not reports.order:
                self._bindings.sit_in_order(reports.order)
            await self._take(reports)
            if waited or self._loop.time() - came_s > PROMPT_S:
                self._late_s = self._loop.time()
            self._rested = False
            self._loop.call_soon(self._rests)

    def _rests(self) -> None:
        """There was no report to be taken in: the next one has not waited."""
        self._rested = True

    async def _take(self, reports: Reports) -> None:
        stats = self._shared.stats
        # Some Envoys name the domain in each report, others in the first only.
        if reports.domain and self._bindings.domain not in ("", reports.domain):
            raise RpcError(GrpcStatus.INVALID_ARGUMENT, "the domain of a stream changed")
        self._bindings.domain = self._bindings.domain or reports.domain
        if not self._bindings.domain:
            raise RpcError(GrpcStatus.INVALID_ARGUMENT, "the first report of a stream names no domain")
        stats.reports += 1
        stats.usages += len(reports)
        if reports.absurd:
            stats.usages_absurd += reports.absurd
            self._shared.tell_once("a report has numbers that no Envoy can mean: they are bounded", envoy=self.name)
        if reports.broken:
            stats.usages_broken += reports.broken
            told = {"envoy": self.name, "domain": self._bindings.domain}
            self._shared.tell_once("a report has buckets without an id, or with one that is too large", **told)
        if self._shared.config is None:
            return  # nobody knows what to say yet: the next report asks again
        self._check_reader()
        came_s = self._loop.time()
        async with self._shared.taking:
            self._shared.ledgers.waited(self._loop.time() - came_s)
            self._taking, began_s = True, time.perf_counter()
            for start in range(0, len(reports), USAGES_AT_ONCE):
                self._take_some(reports, start)
                if time.perf_counter() - began_s > SLICE_S:
                    await asyncio.sleep(0)
                    began_s = time.perf_counter()
            self._taking = False
        if self._outbox:
            self._wake.set()
        await asyncio.sleep(0)  # also where the next report is here already
        await self._slow_down(1 + len(reports))

    def _take_some(self, reports: Reports, start: int) -> None:
        self._bindings.look_anew()
        end, now_s = min(len(reports), start + USAGES_AT_ONCE), self._loop.time()
        if reports.even and self._bindings.places.order is reports.order:
            self._used_in_order(reports, start, end, now_s)
        else:
            self._used(reports.cut(start, end), now_s)

    async def _slow_down(self, usages: int) -> None:
        """Read no faster than is allowed: what comes meanwhile waits at the Envoy."""
        per_s, now_s = self._shared.settings.rlqs_usages_per_second, self._loop.time()
        self._budget = min(float(per_s), self._budget + (now_s - self._budget_s) * per_s) - usages
        self._budget_s = now_s
        if self._budget < 0:
            self._shared.stats.throttled += 1
            self._shared.tell_once("an Envoy reports faster than RLQS_USAGES_PER_SECOND", envoy=self.name)
            await asyncio.sleep(-self._budget / per_s)

    def _used(self, usages: Iterable[Usage], now_s: float) -> None:
        """Tell ledgers of some buckets, and buckets what holds for them: most often the same as before."""
        places, known = self._bindings.places, self._bindings.known
        for bucket, allowed, denied, elapsed_s in usages:
            binding = known.get(bucket)
            if binding is None or not self._bindings.is_current(binding):
                binding = self._find(bucket)
                if binding is None:
                    self._tell_rule(bucket, allowed + denied, now_s)
                    continue
            place = binding.place
            if allowed > places.sure_per_s[place] * (elapsed_s + 1) and elapsed_s >= 1:
                self._judge(binding, allowed, elapsed_s, now_s)
            if places.take(place, allowed, denied, elapsed_s, now_s):
                self._outbox.repeat(bucket, places.parts[place])
                self._heard((places.numbers[place],), now_s)
            else:
                self._report(binding, (allowed, denied, elapsed_s), now_s)

    def _used_in_order(self, reports: Reports, start: int, end: int, now_s: float) -> None:
        """The same of buckets that have these places."""
        places, known, buckets = self._bindings.places, self._bindings.known, reports.buckets
        allowed, elapsed_s = reports.allowed, reports.elapsed_s[start]
        if elapsed_s >= 1:
            beyond = zip(range(start, end), allowed[start:end], places.sure_per_s[start:end], strict=True)
            for place in [place for place, count, sure_per_s in beyond if count > sure_per_s * (elapsed_s + 1)]:
                self._judge(known[buckets[place]], allowed[place], elapsed_s, now_s)
        while start < end:
            counts = allowed[start:end], reports.denied[start:end]
            stop = start + places.take_all(start, counts, elapsed_s, now_s)
            if stop > start:
                self._outbox.repeat_all(buckets[start:stop], places.parts[start:stop])
                self._heard(places.numbers[start:stop], now_s)
                start = stop
            else:
                self._report(known[buckets[start]], (allowed[start], reports.denied[start], elapsed_s), now_s)
                start += 1

    def _heard(self, numbers: Iterable[int], now_s: float) -> None:
        ledgers = self._shared.ledgers
        awaits = ledgers.awaits
        for number in numbers:
            if awaits[number]:
                ledgers.heard(number, now_s)

    def _report(self, binding: Binding, counts: tuple[int, int, float], now_s: float) -> None:
        """Tell a ledger what it has to hear at once, and the bucket what it says."""
        ledger, places = binding.ledger.ledger, self._bindings.places
        if self._detects and (counts[2] < 1 or now_s - places.at_s[binding.place] > TTL_S):
            binding.begin_anew(now_s)
            places.sure_per_s[binding.place] = binding.sure_per_s
        answer = ledger.take_report(binding.row, *counts, now_s)
        if binding.weight != 1:
            ledger.weigh(binding.row, binding.weight)
        if self._by_report and now_s - binding.pushed_s >= ledger.options.tuning.report_acks_after_s:
            ledger.acked(binding.row, binding.seq, now_s)
        ledger.sit(binding.row, places, binding.place, now_s)
        if answer is not None:
            if answer.action is binding.told and not answer.asks:
                self._outbox.repeat(binding.bucket, binding.part)
            else:
                self._push(binding, answer, now_s)
        self._shared.ledgers.touched(binding.ledger)

    def _judge(self, binding: Binding, allowed: int, elapsed_s: float, now_s: float) -> None:
        """See from what it allowed whether it obeys."""
        places = self._bindings.places
        if not self._detects or now_s - places.at_s[binding.place] > TTL_S:
            return  # it shows nothing more; or for so long nothing was in force
        # What came since an assignment is reckoned from when the report before was taken in.
        late = places.at_s[binding.place] <= self._late_s
        if binding.contradicts(allowed, elapsed_s, now_s) and not late:
            self._fall_back("its report contradicts the answer to a PING: something between has answered")
        else:
            places.sure_per_s[binding.place] = binding.sure_per_s

    def _find(self, bucket: bytes) -> Binding | None:
        """Its binding under the configuration in force; None where no ledger divides it. Raises RpcError."""
        binding = self._bindings.current(bucket)
        return binding if binding is None or binding.listens else self._take_over(binding)

    def _tell_rule(self, bucket: bytes, requests: int, now_s: float) -> None:
        rule = self._bindings.rule(bucket, requests, now_s)
        if rule is not None:
            self._outbox.repeat(bucket, blanket(bucket, rule, BLANKET_TTL_S))

    def _take_over(self, binding: Binding) -> Binding | None:
        """Be who is told of this row: it is new, or its Envoy was on another stream before."""
        other = binding.ledger.listeners.get(binding.row)
        if isinstance(other, Binding):
            if other.stream is not self and other.stream.open:
                if self._displaced:
                    return self._rename(binding.bucket)
                other.stream.displace()
            other.listens = False
        binding.ledger.listeners[binding.row], binding.listens = binding, True
        return binding

    def displace(self) -> None:
        """Another stream says that it is this Envoy, and is told of a row from now on."""
        self._displaced = True
        self._bindings.places.order = None

    def _rename(self, bucket: bytes) -> Binding | None:
        """Two Envoys say that they have one name: this one goes without."""
        what = "two Envoys have one name (RLQS_ENVOY_METADATA): one of them goes without"
        self._shared.tell_once(what, name=self.name)
        self._bindings.leave_all()
        self._bindings.name, self._displaced = self._unnamed, False
        binding = self._bindings.current(bucket)
        return None if binding is None else self._take_over(binding)

    def _fall_back(self, reason: str) -> None:
        self._by_report, self._detects = True, False
        self._bindings.take_reports_for_acks()
        places = self._bindings.places
        places.sure_per_s[:] = array("f", [inf]) * len(places.sure_per_s)
        self._shared.stats.ack_fallbacks += 1
        told = {"reason": reason, "envoy": self.name, "peer": self._context.peer()}
        self._shared.tell_once("assignments of a stream count as obeyed by its reports, not by PING", **told)

    async def _write(self) -> None:
        timeout_s = self._shared.settings.rlqs_write_timeout
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._wake_no_more()
            while self._outbox:
                parts, asked = self._outbox.take(ACTIONS_AT_ONCE)
                try:
                    if parts:
                        async with asyncio.timeout(timeout_s):
                            await self._context.write(response(parts))
                except TimeoutError:
                    raise self._unread_error() from None
                self._written_s = self._loop.time()
                self._shared.stats.pushes += len(parts)
                self._ask(asked)

    def _wake_soon(self, now_s: float) -> None:
        if self._waking is None:
            pause_s = min(WRITE_EVERY_S, len(self._bindings.known) / BUCKETS_PER_S)
            self._waking = self._loop.call_at(max(now_s, self._written_s + pause_s), self._wake.set)

    def _wake_no_more(self) -> None:
        if self._waking is not None:
            self._waking.cancel()
            self._waking = None

    def _tell(self, binding: Binding, action: Assign | Abandon) -> bytes:
        """The part of a response that is written now."""
        before = binding.told
        places, place = self._bindings.places, binding.place
        part = binding.tell(action)
        if self._bindings.known.get(binding.bucket) is binding:  # else its place may be another's by now
            places.parts[place] = part
            if self._detects and action != before:
                binding.written(before, action, places.at_s[place], self._loop.time())
                places.sure_per_s[place] = binding.sure_per_s
        return part

    def _ask(self, asked: list[Waiting]) -> None:
        now_s = self._loop.time()
        if not self._can_ping or not (asked or now_s - self._asked_s >= ASK_EVERY_S):
            return
        self._asked_s = now_s
        read = self._context.acknowledged()
        self._unread.append((now_s, read))
        read.add_done_callback(lambda done: self._obeyed(asked, done))

    def _obeyed(self, asked: list[Waiting], done: "asyncio.Future[None]") -> None:
        """What was asked about has been read; what a proxy has read says nothing."""
        while self._unread and self._unread[0][1].done():
            self._unread.popleft()
        if done.cancelled() or self._by_report or not self.open:
            return
        now_s = self._loop.time()
        self._shared.stats.acks += len(asked)
        for binding, push in asked:
            binding.ledger.ledger.acked(push.envoy, push.seq, now_s)
            self._shared.ledgers.touched(binding.ledger)

    def _check_reader(self) -> None:
        """Raises RpcError where what was sent is not read."""
        if self._unread and self._loop.time() - self._unread[0][0] > self._shared.settings.rlqs_write_timeout:
            raise self._unread_error()

    def _unread_error(self) -> RpcError:
        self._shared.stats.streams_stalled += 1
        return RpcError(GrpcStatus.UNAVAILABLE, "the Envoy does not read what it is told")


def _name(metadata: Mapping[str, str], key: str) -> str:
    """The name that an Envoy gives itself; one that looks like ours, or is too long, is none.

    Envoy 1.40 sends a command such as `%HOSTNAME%` as it stands: then all of them have that name.
    """
    name = metadata.get(key, "") if key else ""
    return "" if name.startswith(("~", "%")) or len(name) > NAME_CHARACTERS_MAX else name
