"""What the service knows of a request before it comes: message bytes -> prepared plan, bounded by the memory it holds.

A plan is made once for the same bytes under the same configuration. When the memo is full the oldest entries go, one
for one: a plan in use that is caught by it is made again at its next request, which costs that request some
microseconds and saves every other one the bookkeeping of a least-recently-used order.
"""

from array import array
from collections import OrderedDict
from collections.abc import Sequence

from ratelimit.descriptors.limit import Limit
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.decision import decide
from ratelimit.limiter.plan import Charge, Plan, Verdict
from ratelimit.service.messages import response_bytes
from ratelimit.service.status_bytes import OK, OVER_LIMIT, StatusBytes, verdict_bytes, written
from ratelimit.settings import ResponseSettings

MEMO_BYTES_MAX = 16 * 1024 * 1024
# What an entry holds beside its texts, measured by tests/service/test_plan_memo.py: the objects of the plan itself,
# and of each of its charges.
PLAN_BYTES = 600
CHARGE_BYTES = 700
STATUSES_MAX = 4096
# Of so many messages the hash is kept, each in the place that it says: half a megabyte.
SEEN_PLACES = 1 << 16
_WORD = 2**64 - 1
# How many plans of the configuration before are freed with each one that is added.
USELESS_FREED = 8


class PreparedPlan:
    """A plan, and the parts of its answer that do not depend on counts.

    `single`: the charge of a plan that is just that, of an amount above 0. `status` writes its whole response,
    where that is just a status. `statuses`, one per charge, write any other response that is just statuses;
    `verdicts` are those of descriptors that are not counted, and their places in it. `own_statuses` are in the place
    of both for a plan whose hits are its own: they write results, not counts. Where all three are None, `decided`
    takes the full way, through protobuf.
    """

    __slots__ = (
        "_plan",
        "amounts",
        "charges",
        "message",
        "own",
        "own_statuses",
        "response",
        "single",
        "status",
        "statuses",
        "together",
        "verdicts",
    )

    def __init__(self, plan: Plan, message: bytes, response: ResponseSettings, statuses: "Statuses") -> None:
        self._plan = plan
        self.message = message
        self.response = response
        self.charges = charges = plan.charges
        self.amounts = tuple(charge.amount for charge in charges)
        self.together = plan.together
        self.own = plan.own
        alone = len(charges) == len(plan.steps) == 1 and charges[0].amount > 0 and not self.own
        self.single: Charge | None = charges[0] if alone else None
        self.status: StatusBytes | None = None
        self.statuses: list[StatusBytes] | None = None
        self.own_statuses: list[StatusBytes] | None = None
        self.verdicts: list[tuple[int, bytes]] = []
        if not just_statuses(plan, response):
            return
        if self.single is not None:
            self.status = statuses.of(self.single.limit, alone=True)
        else:
            each = [statuses.of(charge.limit) for charge in charges]
            self.statuses, self.own_statuses = (None, each) if self.own else (each, None)
            self.verdicts = [
                (place, verdict_bytes(step)) for place, step in enumerate(plan.steps, 1) if isinstance(step, Verdict)
            ]

    @property
    def plan(self) -> Plan:
        """The plan as the full way needs it."""
        return self._plan

    @property
    def bytes_held(self) -> int:
        """About what an entry of the memo holds."""
        return PLAN_BYTES + 2 * len(self.message) + len(self.charges) * CHARGE_BYTES

    def joined(self, counts: Sequence[int | None], now: int) -> bytes:
        """The response of a plan with `statuses`, from one count per charge: OVER_LIMIT where one of them is."""
        assert self.statuses is not None  # noqa: S101 - see above
        parts = written(self.statuses, counts, now)
        for place, verdict in self.verdicts:
            parts.insert(place, verdict)
        return b"".join(parts)

    def told(self, results: Sequence[Counted]) -> bytes:
        """The response of a plan with `own_statuses`, from one result per charge."""
        assert self.own_statuses is not None  # noqa: S101 - see above
        parts = [OK]
        for status, result in zip(self.own_statuses, results, strict=True):
            parts.append(status.told(result))
            if status.denies and not result.allowed:
                parts[0] = OVER_LIMIT
        for place, verdict in self.verdicts:
            parts.insert(place, verdict)
        return b"".join(parts)

    def decided(self, results: Sequence[Counted]) -> tuple[bool, bytes]:
        """The full way: whether the global shadow mode let an OVER_LIMIT pass, and the response."""
        decision = decide(self.plan, results)
        passed = decision.over_limit and self.response.shadow_mode
        over_limit = decision.over_limit and not passed
        settings, asked = self.response, self.message
        return passed, response_bytes(self.plan, decision, over_limit=over_limit, settings=settings, asked=asked)


def just_statuses(plan: Plan, response: ResponseSettings) -> bool:
    """Whether the overall code follows from the statuses, and nothing else is in the response."""
    if response.shadow_mode or response.limit_response_headers_enabled or response.response_dynamic_metadata:
        return False
    if len(plan.steps) == 1:
        return True
    return not plan.rules.quota_mode and not any(charge.limit.quota_mode for charge in plan.charges)


class Statuses:
    """One `StatusBytes` for each limit in use, shared by all plans that reach it; the oldest make room."""

    def __init__(self) -> None:
        # By identity, since an equal limit is not worth hashing; the limit is kept so that its identity stays its own.
        self._held: OrderedDict[tuple[int, bool], tuple[Limit, StatusBytes]] = OrderedDict()

    def of(self, limit: Limit, *, alone: bool = False) -> StatusBytes:
        """The one for `limit`."""
        held = self._held.get((id(limit), alone))
        if held is None:
            held = self._held[id(limit), alone] = (limit, StatusBytes(limit, alone=alone))
            if len(self._held) > STATUSES_MAX:
                self._held.popitem(last=False)
        return held[1]


class PlanMemo:
    """Prepared plans by the request's message. `get` is the dictionary's own, for the hot path.

    The plans of a configuration before are of no use any more, but freeing them all at once would hold the event loop:
    `succeed` takes them over, and a few are freed with each plan that is added.
    """

    def __init__(self, bytes_max: int = MEMO_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._plans: OrderedDict[bytes, PreparedPlan] = OrderedDict()
        self._useless: list[OrderedDict[bytes, PreparedPlan]] = []
        self.get = self._plans.get
        self._seen = array("Q", bytes(8 * SEEN_PLACES))
        self.bytes_held = 0
        self.statuses = Statuses()

    def succeed(self) -> "PlanMemo":
        """The memo for the next configuration; this one gives up what it holds."""
        following = PlanMemo(self._bytes_max)
        # Where nobody asked, a reload every second would leave an empty one behind each time.
        following._useless = [plans for plans in (*self._useless, self._plans) if plans]
        following.bytes_held = self.bytes_held
        return following

    def __len__(self) -> int:
        return len(self._plans)

    def add_seen(self, prepared: PreparedPlan) -> None:
        """Keep a plan that is made quickly: when its message comes for the second time, since most never do."""
        number = hash(prepared.message) & _WORD
        place = number % SEEN_PLACES
        if self._seen[place] == number:
            self.add(prepared)
        else:
            self._seen[place] = number

    def add(self, prepared: PreparedPlan) -> None:
        """Keep a plan that is not there yet; the oldest make room."""
        for _ in range(USELESS_FREED):
            if self._useless:
                self._free_oldest()
        size = prepared.bytes_held
        if size > self._bytes_max:
            return
        self.bytes_held += size
        while self.bytes_held > self._bytes_max:
            self._free_oldest()
        self._plans[prepared.message] = prepared

    def _free_oldest(self) -> None:
        plans = self._useless[0] if self._useless else self._plans
        if plans:
            self.bytes_held -= plans.popitem(last=False)[1].bytes_held
        if self._useless and not plans:
            del self._useless[0]
