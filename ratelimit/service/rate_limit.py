"""ShouldRateLimit: from the bytes of a request to the bytes of its answer.

The same request bytes give the same plan until the next reload, so each snapshot keeps a memo: message bytes -> plan.
A reload swaps the whole snapshot: the configuration, the rules that the settings give it, and the memo.

    should_rate_limit: calls and messages of one read ─► plans ─► Limiter.submit
    decided: a tick ─► metrics once per hit that was sent ─► one reply per call
    known: what needs no store ─► metrics and answer once per plan ─► one reply per call

An exception belongs to the call that caused it: that call ends INTERNAL, its neighbours do not notice.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from ratelimit.descriptors.specification import OnStoreError
from ratelimit.descriptors.tree import Config
from ratelimit.errors import GrpcStatus, RpcError, StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.key_watch import KeyWatch
from ratelimit.limiter.limiter import Limiter
from ratelimit.limiter.plan import DEFAULT_RULES, DecisionRules
from ratelimit.limiter.planner import Planner
from ratelimit.limiter.tally import tally, tally_known, tally_own
from ratelimit.limiter.tick import OwnHit, Tick, judged
from ratelimit.metrics import Metrics
from ratelimit.service.messages import parse_request
from ratelimit.service.plan_memo import PlanMemo, PreparedPlan
from ratelimit.service.quick_plans import PlanRules, QuickPlans
from ratelimit.service.uncounted import Uncounted, answer_without
from ratelimit.service.wire import check_size
from ratelimit.settings import ResponseSettings
from ratelimit.transport.awaited_call import AwaitedCall
from ratelimit.transport.methods import Call

FAULTS_LOGGED_MAX = 100
# The errors of its service; what gRPC itself refuses (bytes that are no message) has gRPC's code there too.
_UNKNOWN_IN_THE_REFERENCE = frozenset((GrpcStatus.UNAVAILABLE, GrpcStatus.INVALID_ARGUMENT))

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say of each request; a reload may change it."""

    decision: DecisionRules = DEFAULT_RULES
    response: ResponseSettings = field(default_factory=ResponseSettings)


@dataclass(slots=True)
class Snapshot:
    """One configuration, the rules it came with, and the plans made from both; `generation` counts the loads."""

    config: Config
    rules: Rules
    plans: PlanMemo
    quick: QuickPlans
    generation: int


class AskedCall(AwaitedCall):
    """A request that came over HTTP: the metrics of gRPC know nothing of it, as the reference's do not."""

    __slots__ = ()


class RateLimitService:
    """Answers ShouldRateLimit for whatever configuration was swapped in last. `time_s` is the event loop's time."""

    def __init__(
        self,
        limiter: Limiter,
        planner: Planner,
        metrics: Metrics,
        time_s: Callable[[], float],
        *,
        reference_error_codes: bool = False,
    ) -> None:
        self._limiter = limiter
        self._planner = planner
        self._metrics = metrics
        self._time_s = time_s
        self._reference_error_codes = reference_error_codes
        self._snapshot: Snapshot | None = None
        self._faults: set[str] = set()
        self._asked = 0
        self._uncounted = Uncounted()
        # Called when all callers of a tick are answered: their transport may write at once.
        self.answered: Callable[[], None] = lambda: None
        # Fed once for each tick, while somebody looks.
        self.watch: KeyWatch | None = None
        limiter.hand_back_to(self)

    @property
    def config(self) -> Config | None:
        """The configuration in force; None before the first."""
        return self._snapshot.config if self._snapshot else None

    @property
    def generation(self) -> int:
        """That of the configuration in force; 0 before the first."""
        return self._snapshot.generation if self._snapshot else 0

    def swap(self, config: Config, rules: Rules | None = None, generation: int = 0) -> None:
        """Put `config` and its rules in force for every call from now on; 0 is the next generation."""
        plans = self._snapshot.plans.succeed() if self._snapshot else PlanMemo()
        rules = rules or Rules()
        quick = QuickPlans(config, PlanRules(rules.decision, rules.response, self._planner, plans.statuses))
        self._snapshot = Snapshot(config, rules, plans, quick, generation or self.generation + 1)

    async def ask(self, message: bytes, *, counted: bool = False) -> bytes:
        """Answer one serialised request to whoever can wait, over HTTP; `counted`: not without the store.

        Raises RpcError.
        """
        call = AskedCall(counted=counted)
        self._asked += 1
        try:
            self.should_rate_limit([call], [message])
            return await call.answer()
        finally:
            self._asked -= 1

    def should_rate_limit(self, calls: Sequence[Call], messages: Sequence[bytes]) -> None:
        """Answer each call, now or when the store has counted: a `transport.methods.DirectMethod`."""
        started = self._time_s()
        snapshot = self._snapshot
        if snapshot is None:
            self._metrics.service_error += len(calls)
            self._fail(calls, RpcError(GrpcStatus.UNAVAILABLE, "no rate limit configuration loaded"))
            self._observe(calls, started)
            return
        plans: list[Any] = list(map(snapshot.plans.get, messages))
        if None in plans:
            calls, plans = self._plan_missing(snapshot, calls, messages, plans)
        if calls:
            self._limiter.submit(calls, plans)

    def _plan_missing(
        self, snapshot: Snapshot, calls: Sequence[Call], messages: Sequence[bytes], plans: Sequence[PreparedPlan | None]
    ) -> tuple[list[Call], list[PreparedPlan]]:
        """Make the plans that are not there yet, and answer the calls that cannot have one."""
        planned: list[Call] = []
        made: list[PreparedPlan] = []
        started = self._time_s()
        for call, message, known in zip(calls, messages, plans, strict=True):
            try:
                plan = known or snapshot.plans.get(message) or self._prepare(snapshot, message)
            except RpcError as error:
                self._metrics.service_error += 1
                self._fail((call,), error)
                self._observe((call,), started)
            except Exception as error:  # noqa: BLE001 - whatever a message brings about ends its call, not the others
                self.broken((call,), error, started)
            else:
                planned.append(call)
                made.append(plan)
        return planned, made

    def _prepare(self, snapshot: Snapshot, message: bytes) -> PreparedPlan:
        quick = snapshot.quick.plan(message)
        if quick is not None:
            snapshot.plans.add_seen(quick)
            return quick
        check_size(message)
        rules = snapshot.rules
        plan = self._planner.plan(snapshot.config, parse_request(message), rules.decision)
        prepared = PreparedPlan(plan, message, rules.response, snapshot.plans.statuses)
        snapshot.plans.add(prepared)
        return prepared

    def decided(self, tick: Tick) -> None:
        """Answer every request of a tick."""
        _tally_hits(tick)
        if self.watch is not None:
            self.watch.decided(tick)
        now = tick.now
        if tick.whole and self._uncounted.domains:
            self._uncounted.counted(now)
        for caller, plan, count, share in zip(tick.callers, tick.plans, tick.counts, tick.shares, strict=True):
            try:
                status = plan.status
                if status is not None and count.__class__ is int:
                    remaining = status.requests_per_unit - count
                    caller.reply(status.within(remaining, now) if remaining >= 0 else status.beyond(now))
                elif tick.whole and plan.statuses is not None:
                    caller.reply(plan.joined(count, now))
                else:
                    self._answer((caller, plan, count, share), now)
            except Exception as error:  # noqa: BLE001 - see the head of this file
                self._break((caller,), error)
        self._observe(tick.callers, tick.started)
        self.answered()

    def _answer(self, request: tuple[Call, PreparedPlan, Any, Any], now: int) -> None:
        """Answer one request that is not of the common kind."""
        call, plan, count, share = request
        counts, shares = ([count], [share]) if plan.single is not None else (count, share)
        for charge, each in zip(plan.charges, shares, strict=True):
            if each is None:
                tally_known(charge)
        for each in counts:
            if isinstance(each, StoreError):
                self._answer_without(call, plan, counts, each, now)
                return
        if plan.statuses is not None:
            call.reply(plan.joined(counts, now))
        elif plan.own_statuses is not None:
            call.reply(plan.told(judged(plan.charges, shares, counts, now)))
        else:
            passed, message = plan.decided(judged(plan.charges, shares, counts, now))
            self._metrics.global_shadow_mode += passed
            call.reply(message)

    def _answer_without(
        self, call: Call, plan: PreparedPlan, counts: Sequence[Any], error: StoreError, now: int
    ) -> None:
        """Answer a request that the store did not count, as the configuration in force says of its domain."""
        domain = plan.plan.domain
        choice = self._snapshot.config.on_store_error(domain) if self._snapshot else OnStoreError.ERROR
        if choice is OnStoreError.ERROR or (isinstance(call, AwaitedCall) and call.counted):
            # UNAVAILABLE, not UNKNOWN: Envoy's failure_mode_deny decides about an error, so it must be one.
            self._metrics.redis_error += 1
            call.fail(self._coded(RpcError(GrpcStatus.UNAVAILABLE, error.reason)))
            return
        self._metrics.store_error_allowed += choice is OnStoreError.ALLOW
        self._metrics.store_error_denied += choice is OnStoreError.DENY
        self._uncounted.note(domain, choice, now)
        passed, message = answer_without(plan, counts, choice, now)
        self._metrics.global_shadow_mode += passed
        call.reply(message)

    def known(self, tick: Tick) -> None:
        """Answer every request of a tick that needs no count: the answer is worked out once for each plan."""
        if self.watch is not None:
            self.watch.known(tick)
        answers: dict[PreparedPlan, bytes] = {}
        for plan, times in Counter(tick.plans).items():
            try:
                answers[plan] = self._known_answer(plan, times, tick.now)
            except Exception as error:  # noqa: BLE001 - see the head of this file
                self._break(
                    [caller for caller, each in zip(tick.callers, tick.plans, strict=True) if each is plan], error
                )
        for caller, plan in zip(tick.callers, tick.plans, strict=True):
            try:
                if plan in answers:
                    caller.reply(answers[plan])
            except Exception as error:  # noqa: BLE001 - likewise
                self._break((caller,), error)
        self._observe(tick.callers, tick.started)

    def _known_answer(self, plan: PreparedPlan, times: int, now: int) -> bytes:
        """The answer of a plan that came so many times and whose charges, if any, are all known to be over."""
        for charge in plan.charges:
            tally_known(charge, times)
        if plan.status is not None:
            return plan.status.beyond(now)
        if not plan.charges and not plan.plan.domain_found:
            self._metrics.domain_not_found(plan.plan.domain, len(plan.plan.steps) * times)
        unknown = [None] * len(plan.charges)
        if plan.statuses is not None:
            return plan.joined(unknown, now)
        passed, message = plan.decided(judged(plan.charges, unknown, unknown, now))
        self._metrics.global_shadow_mode += passed * times
        return message

    def expired(self, callers: Sequence[Any], started: float) -> None:
        """Nobody waits for these any more, and nothing was counted."""
        self._metrics.deadline_exceeded += len(callers)
        self._fail(callers, RpcError(GrpcStatus.DEADLINE_EXCEEDED, "the deadline passed before anything was counted"))
        self._observe(callers, started)

    def refused(self, tick: Tick, error: StoreError) -> None:
        """The store is busy, and nothing was counted."""
        for caller, plan in zip(tick.callers, tick.plans, strict=True):
            try:
                self._answer_without(caller, plan, [error] * len(plan.charges), error, tick.now)
            except Exception as fault:  # noqa: BLE001 - see the head of this file
                self._break((caller,), fault)
        self._observe(tick.callers, tick.started)

    def broken(self, callers: Sequence[Any], error: Exception, started: float) -> None:
        """A fault of ours ends these calls."""
        self._break(callers, error)
        self._observe(callers, started)

    def _break(self, callers: Sequence[Any], error: Exception) -> None:
        """Count a fault each time, and log it once for each place that it comes from."""
        self._metrics.internal_error += len(callers)
        trace, place = error.__traceback__, ""
        while trace is not None:
            place, trace = (
                f"{type(error).__name__} {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}",
                trace.tb_next,
            )
        if place not in self._faults and len(self._faults) < FAULTS_LOGGED_MAX:
            self._faults.add(place)
            _log.error("a call failed unexpectedly; more from the same place are only counted", exc_info=error)
        self._fail(callers, RpcError(GrpcStatus.INTERNAL, "internal error"))

    def _fail(self, callers: Sequence[Any], error: RpcError) -> None:
        coded = self._coded(error)
        for caller in callers:
            caller.fail(coded)

    def _observe(self, callers: Sequence[Any], started: float) -> None:
        calls = len(callers)
        if self._asked:
            calls -= sum(caller.__class__ is AskedCall for caller in callers)
        self._metrics.should_rate_limit.observe(self._time_s() - started, calls)

    def _coded(self, error: RpcError) -> RpcError:
        unknown = self._reference_error_codes and error.grpc_status in _UNKNOWN_IN_THE_REFERENCE
        return RpcError(GrpcStatus.UNKNOWN, error.details) if unknown else error


def _tally_hits(tick: Tick) -> None:
    """The metrics of a tick: once per hit that was sent, where that tells all."""
    for hit in tick.hits:
        if hit.source is not None and hit.result.__class__ is Counted:
            after = hit.result.count
            tally(hit.source, after - hit.amount, after)
    if tick.mixed:
        _tally_each(tick)
    for own in tick.own:
        if own.result.__class__ is Counted:
            tally_own(own.charge, own.result, charged_beyond=own.group < 0)


def _tally_each(tick: Tick) -> None:
    """The metrics of requests that share a key with requests for other limits: one by one, as they came."""
    for plan, counts, shares in zip(tick.plans, tick.counts, tick.shares, strict=True):
        alone = plan.single is not None
        for charge, count, share in zip(
            plan.charges, [counts] if alone else counts, [shares] if alone else shares, strict=True
        ):
            if share is not None and share.source is None and share.__class__ is not OwnHit and isinstance(count, int):
                tally(charge, count - charge.amount, count)
