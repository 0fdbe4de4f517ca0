"""ShouldRateLimit: from the bytes of a request to the bytes of its answer.

The same request bytes give the same plan until the next reload, so each snapshot keeps a memo: message bytes -> plan.
A reload swaps the whole snapshot, and with it the memo.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from ratelimit.descriptors.tree import Config
from ratelimit.errors import GrpcStatus, RpcError, StoreError
from ratelimit.limiter.decision import Decision, Tally
from ratelimit.limiter.limiter import Limiter
from ratelimit.limiter.plan import Charge, Plan
from ratelimit.limiter.planner import Planner
from ratelimit.metrics import LIMIT_STATS, LimitStats, Metrics
from ratelimit.service.messages import parse_request, response_bytes
from ratelimit.settings import ResponseSettings
from ratelimit.transport.awaited_call import AwaitedCall
from ratelimit.transport.methods import Call

PLANS_MAX = 50_000
PLANS_BYTES_MAX = 16 * 1024 * 1024

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Planned:
    plan: Plan
    stats: tuple[LimitStats, ...]


@dataclass(slots=True)
class Snapshot:
    """One configuration and the plans made from it; `generation` counts the loads."""

    config: Config
    generation: int
    plans: dict[bytes, _Planned] = field(default_factory=dict)
    plans_bytes: int = 0

    def remember(self, message: bytes, planned: _Planned) -> None:
        """Keep a plan; a full memo is emptied, so unique values cannot grow it."""
        if len(self.plans) >= PLANS_MAX or self.plans_bytes + len(message) > PLANS_BYTES_MAX:
            self.plans.clear()
            self.plans_bytes = 0
        self.plans[message] = planned
        self.plans_bytes += len(message)


class RateLimitService:
    """Answers ShouldRateLimit for whatever configuration was swapped in last."""

    def __init__(
        self,
        limiter: Limiter,
        planner: Planner,
        metrics: Metrics,
        settings: ResponseSettings,
        *,
        reference_error_codes: bool = False,
    ) -> None:
        self._limiter = limiter
        self._planner = planner
        self._metrics = metrics
        self._settings = settings
        self._reference_error_codes = reference_error_codes
        self._snapshot: Snapshot | None = None

    @property
    def config(self) -> Config | None:
        """The configuration in force; None before the first."""
        return self._snapshot.config if self._snapshot else None

    def swap(self, config: Config) -> None:
        """Put `config` in force for every call from now on."""
        generation = self._snapshot.generation + 1 if self._snapshot else 1
        self._snapshot = Snapshot(config, generation)

    async def ask(self, message: bytes) -> bytes:
        """Answer one serialised request to whoever can wait. Raises RpcError."""
        call = AwaitedCall()
        self.should_rate_limit([call], [message])
        return await call.answer()

    def should_rate_limit(self, calls: Sequence[Call], messages: Sequence[bytes]) -> None:
        """Answer each call, now or when the store has counted: a `transport.methods.DirectMethod`."""
        started = time.perf_counter()
        for call, message in zip(calls, messages, strict=True):
            try:
                planned = self._planned(message)
                self._limiter.submit(planned.plan, self._answerer(call, message, planned, started))
            except RpcError as error:
                self._metrics.service_error += 1
                self._fail(call, error, started)
            except Exception:  # noqa: BLE001 - whatever a message brings about ends that call, not the process
                _log.exception("a call failed unexpectedly")
                self._fail(call, RpcError(GrpcStatus.INTERNAL, "internal error"), started)

    def _planned(self, message: bytes) -> _Planned:
        snapshot = self._snapshot
        if snapshot is None:
            raise RpcError(GrpcStatus.UNAVAILABLE, "no rate limit configuration loaded")
        planned = snapshot.plans.get(message)
        if planned is None:
            plan = self._planner.plan(snapshot.config, parse_request(message))
            stats = tuple(self._metrics.limit(step.stat_key) for step in plan.steps if isinstance(step, Charge))
            planned = _Planned(plan, stats)
            snapshot.remember(message, planned)
        if not planned.plan.domain_found:
            self._metrics.domain_not_found(planned.plan.domain, len(planned.plan.steps))
        return planned

    def _answerer(
        self, call: Call, message: bytes, planned: _Planned, started: float
    ) -> Callable[[Decision | StoreError], None]:
        def answer(decision: Decision | StoreError) -> None:
            if isinstance(decision, StoreError):
                # UNAVAILABLE, not UNKNOWN: Envoy's failure_mode_deny decides about an error, so it must be one.
                self._metrics.redis_error += 1
                self._fail(call, RpcError(GrpcStatus.UNAVAILABLE, decision.reason), started)
                return
            for stats, tally in zip(planned.stats, decision.tallies, strict=True):
                _add(stats, tally)
            over_limit = decision.over_limit
            if over_limit and self._settings.shadow_mode:
                over_limit = False
                self._metrics.global_shadow_mode += 1
            settings = self._settings
            call.reply(response_bytes(planned.plan, decision, over_limit=over_limit, settings=settings, asked=message))
            self._metrics.should_rate_limit.observe(time.perf_counter() - started)

        return answer

    def _fail(self, call: Call, error: RpcError, started: float) -> None:
        if self._reference_error_codes:
            error = RpcError(GrpcStatus.UNKNOWN, error.details)
        call.fail(error)
        self._metrics.should_rate_limit.observe(time.perf_counter() - started)


def _add(stats: LimitStats, tally: Tally) -> None:
    for name in LIMIT_STATS:
        amount = getattr(tally, name)
        if amount:
            setattr(stats, name, getattr(stats, name) + amount)
