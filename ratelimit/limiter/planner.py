"""From a request and a configuration to a plan."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ratelimit.descriptors.limit import FIXED_WINDOW, Limit, Unit
from ratelimit.descriptors.request import Descriptor, Request
from ratelimit.descriptors.tree import Config, Node
from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.limiter.algorithm import ALGORITHMS
from ratelimit.limiter.counter_key import CounterFormat, one_slot_counter, reference_counter
from ratelimit.limiter.counter_store import AMOUNT_MAX
from ratelimit.limiter.decision import near_limit_threshold
from ratelimit.limiter.plan import DEFAULT_RULES, Charge, DecisionRules, LimitStats, Plan, Verdict

DESCRIPTORS_MAX = 64
ENTRIES_MAX = 32
DOMAIN_BYTES_MAX = 256
KEY_BYTES_MAX = 256
VALUE_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which charges of a request are charged together.

    `stop_when_over`: once one goes over its limit, only those that do are charged. `singles`: where charges are
    grouped, one that comes alone is a group too. Stores that keep groups and other hits apart (REDIS_PERSECOND) need
    that, since a counter must be in one of them only.
    """

    stop_when_over: bool = False
    singles: bool = False


class Planner:
    """Plans requests; `counter` writes the counters and `prefix` stands before each.

    `stats_of(stat_key, configured)` finds the metrics of a limit, see `Match`.
    """

    def __init__(
        self,
        counter: CounterFormat,
        stats_of: Callable[[str, bool], LimitStats],
        prefix: str = "",
        *,
        calendar_months: bool = False,
        grouping: Grouping | None = None,
    ) -> None:
        self.counter = counter
        self.stats_of = stats_of
        self.prefix = prefix
        self.calendar_months = calendar_months
        self.grouping = grouping or Grouping()

    def in_force(self, limit: Limit) -> Limit:
        """The limit as the settings have it: with `calendar_months`, a fixed month is one of the calendar."""
        if self.calendar_months and limit.unit is Unit.MONTH and limit.algorithm == FIXED_WINDOW:
            return replace(limit, calendar=True)
        return limit

    def together(self, root: Node | None, charges: int) -> int:
        """The sign of the group for a request of so many charges in the domain of `root`; see `Plan.together`."""
        if charges < 2 and not self.grouping.singles:
            return 0
        return 1 if root is not None and root.all_or_nothing else -self.grouping.stop_when_over

    def counter_in(self, root: Node | None) -> CounterFormat:
        """How counters of the domain of `root` are written."""
        in_groups = self.grouping.stop_when_over or (root is not None and root.all_or_nothing)
        return one_slot_counter if in_groups and self.counter is not reference_counter else self.counter

    def plan(self, config: Config, request: Request, rules: DecisionRules = DEFAULT_RULES) -> Plan:
        """Match, replace and count what each descriptor costs. Raises RpcError for a request that is not sound."""
        _validate(request)
        matches = [config.match(request.domain, descriptor) for descriptor in request.descriptors]
        replaced = {name for match in matches if match is not None for name in match.limit.replaces}
        steps: list[Charge | Verdict] = []
        root = config.domains.get(request.domain)
        counter_of = self.counter_in(root)
        for descriptor, match in zip(request.descriptors, matches, strict=True):
            if match is None:
                steps.append(Verdict.NO_LIMIT)
            elif match.limit.unlimited:
                steps.append(Verdict.UNLIMITED)
            elif match.limit.name and match.limit.name in replaced:
                steps.append(Verdict.REPLACED)
            else:
                limit = self.in_force(match.limit)
                counter = counter_of(
                    self.prefix, request.domain, match.counter_entries, limit, ALGORITHMS[limit.algorithm]
                )
                near = near_limit_threshold(limit.requests_per_unit, rules.near_limit_ratio)
                stats = self.stats_of(match.stat_key, match.configured)
                steps.append(Charge(limit, counter, _amount(request, descriptor), near, stats))
        together = self.together(root, sum(isinstance(step, Charge) for step in steps))
        return Plan(request.domain, tuple(steps), rules, root is not None, together)


def _amount(request: Request, descriptor: Descriptor) -> int:
    """`hits_addend`: the descriptor's where it is set, 0 included, else the request's, which is at least 1."""
    hits = max(1, request.hits_addend) if descriptor.hits_addend is None else descriptor.hits_addend
    hits = min(hits, AMOUNT_MAX)
    return -hits if descriptor.is_negative_hits else hits


def _validate(request: Request) -> None:
    if not request.domain:
        raise _invalid("rate limit domain must not be empty")
    if not request.descriptors:
        raise _invalid("rate limit descriptor list must not be empty")
    if len(request.domain.encode()) > DOMAIN_BYTES_MAX:
        raise _invalid(f"domain is longer than {DOMAIN_BYTES_MAX} bytes")
    if len(request.descriptors) > DESCRIPTORS_MAX:
        raise _invalid(f"{len(request.descriptors)} descriptors, at most {DESCRIPTORS_MAX} are allowed")
    for index, descriptor in enumerate(request.descriptors):
        _validate_entries(f"descriptors[{index}]", descriptor)


def _validate_entries(place: str, descriptor: Descriptor) -> None:
    if len(descriptor.entries) > ENTRIES_MAX:
        raise _invalid(f"{place}: {len(descriptor.entries)} entries, at most {ENTRIES_MAX} are allowed")
    for index, (key, value) in enumerate(descriptor.entries):
        if len(key.encode()) > KEY_BYTES_MAX:
            raise _invalid(f"{place}.entries[{index}].key: longer than {KEY_BYTES_MAX} bytes")
        if len(value.encode()) > VALUE_BYTES_MAX:
            raise _invalid(f"{place}.entries[{index}].value: longer than {VALUE_BYTES_MAX} bytes")


def _invalid(reason: str) -> RpcError:
    return RpcError(GrpcStatus.INVALID_ARGUMENT, reason)
