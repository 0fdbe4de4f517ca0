"""What requests will do in a replay: the service's own plan and decision, with a lane for each of its charges.

The fast lane counts fixed windows in cells. Everything else goes the exact lane: other algorithms, what is charged
together, and all that the over-limit cache has to do with. A counter is counted in one of the lanes, always the same.
"""

from dataclasses import replace
from typing import NamedTuple

from ratelimit.descriptors.request import Descriptor, Request
from ratelimit.descriptors.tree import Config, Node, walk
from ratelimit.limiter.algorithm import FIXED_WINDOW, Counted
from ratelimit.limiter.counter_key import reference_counter
from ratelimit.limiter.decision import decide
from ratelimit.limiter.plan import Charge, Plan, Verdict
from ratelimit.metrics import LimitStats
from ratelimit.service.planning import decision_rules, make_planner
from ratelimit.settings import Settings
from ratelimit.simulation.exact_lane import Submission
from ratelimit.simulation.tallies import Tallies, Tally
from ratelimit.simulation.windows import Reached, ReachedCharge

COUNTED = "counted"
VERDICTS = {Verdict.NO_LIMIT: "no limit", Verdict.REPLACED: "replaced", Verdict.UNLIMITED: "unlimited"}


class Outcome(NamedTuple):
    """Whether a request is denied, and the charges that deny it."""

    denied: bool
    by: tuple[ReachedCharge, ...]


class Planned:
    """A request, for as many lines of a log as send it. `reached` has one element per descriptor.

    `single` is the charge of a request that is just that, of an amount above 0 and in the fast lane; `denies` tells
    whether such a request is denied where it is over. For any other, `fast` and `exact` have the charges of each lane,
    each with the bit by which it is over. `charged` are both.
    """

    __slots__ = (
        "_outcomes",
        "_plan",
        "_shadow",
        "charged",
        "denies",
        "exact",
        "fast",
        "reached",
        "single",
        "submission",
    )

    def __init__(self, plan: Plan, reached: tuple[Reached, ...], *, all_exact: bool, shadow_mode: bool) -> None:
        self._plan = plan
        self._shadow = shadow_mode
        self._outcomes: dict[int, Outcome] = {}
        self.reached = reached
        charges = [each for each in reached if isinstance(each, ReachedCharge)]
        self.charged = tuple((1 << place, each) for place, each in enumerate(charges))
        quick = [not all_exact and each.charge.algorithm is FIXED_WINDOW for each in charges]
        self.fast = tuple(each for each, is_quick in zip(self.charged, quick, strict=True) if is_quick)
        self.exact = tuple(each for each, is_quick in zip(self.charged, quick, strict=True) if not is_quick)
        self.submission: Submission | None = None
        if self.exact:
            self.submission = Submission(replace(plan, steps=tuple(each.charge for _, each in self.exact)))
        alone = len(reached) == len(self.fast) == 1 and charges[0].amount > 0
        self.single: ReachedCharge | None = charges[0] if alone else None
        self.denies = alone and self._denies_alone(charges[0].tally)

    def _denies_alone(self, tally: Tally) -> bool:
        """Whether a request of this limit alone is denied where it is over: for every key of the limit the same."""
        if tally.denies is None:
            tally.denies = self.outcome(1).denied
        return tally.denies

    def outcome(self, over: int) -> Outcome:
        """The service's decision where the charges of these bits are over their limits."""
        known = self._outcomes.get(over)
        if known is None:
            results = [Counted(0, allowed=not over & bit, remaining=0, reset_s=0) for bit, _ in self.charged]
            decision = decide(self._plan, results)
            denied = decision.over_limit and not self._shadow
            by = zip(self.reached, decision.statuses, strict=True)
            deniers = tuple(
                each for each, status in by if denied and status.over_limit and isinstance(each, ReachedCharge)
            )
            known = self._outcomes[over] = Outcome(denied, deniers)
        return known


class Planning:
    """Plans requests for one replay of a configuration; `tallies` has a row for each limit that is reached."""

    def __init__(self, config: Config, settings: Settings, tallies: Tallies) -> None:
        stats = LimitStats()
        self._config = config
        self._tallies = tallies
        self._planner = make_planner(settings, lambda *_: stats)
        self._rules = decision_rules(settings)
        self._shadow = settings.response.shadow_mode
        grouped = any(map(self._is_grouped, config.domains.values()))
        # In the reference's format, counters of two domains may be one.
        shared = grouped and self._planner.counter is reference_counter
        self._all_exact = shared or settings.limiter.local_cache_size_in_bytes > 0

    def plan(self, request: Request) -> Planned:
        """The plan of a request. Raises RpcError for one that the service refuses."""
        plan = self._planner.plan(self._config, request, self._rules)
        root = self._config.domains.get(request.domain)
        reached = tuple(
            self._reached(request.domain, root, descriptor, step)
            for descriptor, step in zip(request.descriptors, plan.steps, strict=True)
        )
        return Planned(plan, reached, all_exact=self._all_exact or self._is_grouped(root), shadow_mode=self._shadow)

    def _is_grouped(self, root: Node | None) -> bool:
        """Whether requests of this domain may be charged together."""
        return self._planner.together(root, 2) != 0

    def _reached(self, domain: str, root: Node | None, descriptor: Descriptor, step: Charge | Verdict) -> Reached:
        key = ", ".join(f"{name}={value}" for name, value in descriptor.entries)
        if root is None or step is Verdict.NO_LIMIT:
            return Reached(self._tallies.of("", VERDICTS[Verdict.NO_LIMIT], None, None), f"{domain}: {key}")
        nodes = [level.node for level in walk(root, descriptor.entries) if level.node is not None]
        name, node = ".".join([domain, *[each.composite for each in nodes]]), nodes[-1]
        if isinstance(step, Charge):
            return ReachedCharge(self._tallies.of(name, COUNTED, node, step.limit), key, step)
        return Reached(self._tallies.of(name, VERDICTS[step], node, node.limit), key)
