"""Why a request is limited or not: the walk of each descriptor beside the very step that its plan has for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from ratelimit.descriptors.explain import Walked, explain_walk
from ratelimit.descriptors.request import Request
from ratelimit.descriptors.tree import Config, Node
from ratelimit.limiter.plan import DEFAULT_RULES, Charge, DecisionRules, Plan, Verdict
from ratelimit.limiter.planner import Planner


@dataclass(frozen=True, slots=True)
class Explained:
    """One descriptor. A `step` that is a Charge has its key of the second that was asked about.

    `replaced_by` are the indices of the descriptors whose limits replace its own.
    """

    walked: Walked
    step: Charge | Verdict
    replaced_by: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A request at the second `now`: one element of `descriptors` for each, in their order. `root` is its domain's."""

    request: Request
    now: int
    root: Node | None
    plan: Plan
    descriptors: Sequence[Explained]


def explain(
    config: Config, request: Request, planner: Planner, now: int, rules: DecisionRules = DEFAULT_RULES
) -> Explanation:
    """Explain `request`. Raises RpcError for one that the service refuses."""
    plan = planner.plan(config, request, rules)
    walks = [explain_walk(config, request.domain, descriptor) for descriptor in request.descriptors]
    explained = []
    for walked, step in zip(walks, plan.steps, strict=True):
        replaced_by: tuple[int, ...] = ()
        if isinstance(step, Charge):
            step.turn(now, 0)
        elif step is Verdict.REPLACED and walked.match is not None:
            name = walked.match.limit.name
            replaced_by = tuple(
                index for index, other in enumerate(walks) if other.match and name in other.match.limit.replaces
            )
        explained.append(Explained(walked, step, replaced_by))
    return Explanation(request, now, config.domains.get(request.domain), plan, explained)
