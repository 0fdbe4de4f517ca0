"""Plans of requests that nobody sent before, in one pass over their bytes and without an object for what they say.

The common RateLimitRequest is a domain and descriptors of entries, nothing else, in the order of their numbers:

    0a <size> domain   12 <size> ( 0a <size> ( 0a <size> key   12 <size> value ) ... ) ...

Its values are many and its keys few. So the tree of the configuration is kept once more as it is asked for: a `Branch`
for a node that was reached, and below it a `Way` for each key, found by the bytes `0a <size> key 12`. A way that takes
any value to the same node is open, and then a value is only copied into the counter; else it is looked up in the tree.

What is not to the byte as drawn, or needs a look at more than one descriptor (a limit that replaces others) or at the
value (metrics named by it, a shared threshold), has no plan here: it goes the full way, by protobuf and
`limiter/planner.py`, which alone refuses requests. tests/service/test_quick_plans.py holds both together.
`make bench-floors` earns the shape of `QuickPlans.plan`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ratelimit.descriptors.limit import Limit
from ratelimit.descriptors.tree import Config, Level, Matched, Node, is_named_as_written, level_below
from ratelimit.limiter.algorithm import ALGORITHMS
from ratelimit.limiter.decision import near_limit_threshold
from ratelimit.limiter.plan import Charge, DecisionRules, LimitStats, Plan, Verdict
from ratelimit.limiter.planner import DESCRIPTORS_MAX, ENTRIES_MAX, Planner
from ratelimit.service.plan_memo import PreparedPlan, Statuses, just_statuses
from ratelimit.service.status_bytes import StatusBytes
from ratelimit.settings import ResponseSettings

# A longer message is counted first, as service/wire.py says.
MESSAGE_BYTES_MAX = 1024
# How many branches and how many ways are kept; what needs more goes the full way.
KEPT_MAX = 2048
# Below a node with more children than that, each value is looked up.
SCANNED_MAX = 256
# Tags of RateLimitRequest, RateLimitDescriptor and its Entry: the field's number and wire type 2.
_DOMAIN, _DESCRIPTOR, _ENTRY, _KEY, _VALUE = 0x0A, 0x12, 0x0A, 0x0A, 0x12


@dataclass(frozen=True, slots=True)
class PlanRules:
    """What stands beside the configuration: the settings' rules, how counters are written, and the status bytes."""

    decision: DecisionRules
    response: ResponseSettings
    planner: Planner
    statuses: Statuses


class Leaf:
    """What all charges of one limit share. `head` and `end` stand around the entries of the counter.

    `tagged` is the `CounterFormat`'s.
    """

    __slots__ = ("domain", "end", "head", "limit", "mergeable", "near_limit", "rules", "stats", "status", "tagged")

    def __init__(self, root: Node, limit: Limit, stats: LimitStats, rules: PlanRules) -> None:
        counter = rules.planner.counter_in(root)
        self.domain = domain = root.key
        self.limit = limit
        self.stats = stats
        self.rules = rules
        self.head = counter.head(rules.planner.prefix, domain, limit, ALGORITHMS[limit.algorithm])
        self.end = counter.after + counter.end
        self.tagged = counter.tagged
        self.near_limit = near_limit_threshold(limit.requests_per_unit, rules.decision.near_limit_ratio)
        plan = self.plan((self.charge(b""),))
        self.mergeable = not plan.own
        alone = just_statuses(plan, rules.response)
        self.status: StatusBytes | None = rules.statuses.of(limit, alone=True) if alone else None

    def charge(self, counter: bytes) -> Charge:
        """One hit on a counter of this limit."""
        return Charge(self.limit, counter, 1, self.near_limit, self.stats)

    def single(self, charge: Charge, message: bytes) -> PreparedPlan:
        """The prepared plan of one hit on this limit."""
        if self.mergeable:
            return SinglePlan(self, charge, message)
        return PreparedPlan(self.plan((charge,)), message, self.rules.response, self.rules.statuses)

    def plan(self, charges: tuple[Charge, ...]) -> Plan:
        """The plan that the planner would make."""
        return Plan(self.domain, charges, self.rules.decision)


class SinglePlan(PreparedPlan):
    """The plan of a single charge, with little made for it alone."""

    __slots__ = ("_leaf",)

    def __init__(self, leaf: Leaf, charge: Charge, message: bytes) -> None:
        self._leaf = leaf
        self.single = charge
        self.charges = (charge,)
        self.amounts = (1,)
        self.status = leaf.status
        self.message = message
        self.together = 0
        self.own = False
        self.own_statuses = None
        self.response = leaf.rules.response
        self.statuses = None
        self.verdicts = []

    @property
    def plan(self) -> Plan:
        """The plan, made when it is asked for: the common way does not."""
        return self._leaf.plan(self.charges)


class Branch:
    """A node that was reached by names as they are written; `leaf` is what a descriptor that ends here comes to.

    None, there and below: it takes the full way to say. `is_end`: one ended here, so that `leaf` was worked out.
    """

    __slots__ = ("depth", "domain", "is_end", "leaf", "node", "path", "ways")

    def __init__(self, node: Node, domain: str, path: str, depth: int) -> None:
        self.node = node
        self.domain = domain
        self.path = path
        self.depth = depth
        self.leaf: Leaf | Verdict | None = None
        self.is_end = False
        self.ways: dict[bytes, Way] = {}


class Way:
    """What a key leads to below a branch: `framed` is the key in the counter, up to the size of the value.

    `other` is the branch of values that the configuration does not name. Where it names none the way is `open`.
    """

    __slots__ = ("_before", "_branches", "_children", "_patterned", "framed", "key", "open", "other")

    def __init__(self, node: Node, key: str, framed: bytes) -> None:
        self.key = key
        self.framed = framed
        self.other: Branch | Verdict | None = Verdict.NO_LIMIT
        self._children = node.children
        self._before = f"{key}_"
        self._patterned = bool(node.patterns)
        self._branches: dict[tuple[Node, Matched], Branch | None] = {}
        self.open = not self._patterned and not self._names_values(node.children)

    def _names_values(self, children: Iterable[str]) -> bool:
        return len(self._children) > SCANNED_MAX or any(child.startswith(self._before) for child in children)

    def find(self, plans: "QuickPlans", above: Branch, value: str) -> Branch | Verdict | None:
        """The branch that a value leads to, if it leads to any."""
        if self._before + value not in self._children and not self._patterned:
            return self.other
        level = level_below(above.node, self.key, value)
        if level.node is None:
            return Verdict.NO_LIMIT
        place = level.node, level.matched
        if place not in self._branches:
            self._branches[place] = plans.branch(above, level)
        return self._branches[place]


class QuickPlans:
    """The plans of one configuration under one set of rules."""

    def __init__(self, config: Config, rules: PlanRules) -> None:
        self._config = config
        self._rules = rules
        self._room = KEPT_MAX
        self._domains: dict[bytes, Branch] = {}
        self._sizes = rules.planner.counter.sizes
        self._after = rules.planner.counter.after
        self._prefix = rules.planner.prefix

    def plan(self, message: bytes) -> PreparedPlan | None:  # noqa: PLR0911 - each is a shape that is not common
        """The plan of a message; None: the full way."""
        size = len(message)
        if size > MESSAGE_BYTES_MAX:
            return None
        steps: list[Charge | Verdict] = []
        try:
            at = message[1] + 2
            domain = message[:at]
            root = self._domains.get(domain) or self._domain(domain)
            while at < size:
                end = message[at + 1] + at + 2
                if message[at] != _DESCRIPTOR or root is None:
                    return None
                if message[at + 1] > 127:  # a size of two bytes; one of three is beyond any end
                    at, end = at + 1, end + (message[at + 2] << 7) - 127
                found = self._descriptor(message, at + 2, end, root) if end <= size else None
                if found is None:
                    return None
                leaf, counter = found
                steps.append(leaf.charge(counter) if leaf.__class__ is Leaf else leaf)
                at = end
        except (IndexError, UnicodeDecodeError):
            return None
        if len(steps) == 1 and isinstance(charge := steps[0], Charge):
            return leaf.single(charge, message)
        if root is None or not 0 < len(steps) <= DESCRIPTORS_MAX:
            return None
        together = self._rules.planner.together(root.node, sum(isinstance(step, Charge) for step in steps))
        plan = Plan(root.domain, tuple(steps), self._rules.decision, together=together)
        return PreparedPlan(plan, message, self._rules.response, self._rules.statuses)

    def _descriptor(self, message: bytes, at: int, end: int, branch: Branch) -> tuple[Any, bytes] | None:
        """What the descriptor between `at` and `end` comes to: a leaf and its counter, or a verdict."""
        sizes, parts = self._sizes, [b""]
        while at < end:
            start = message[at + 3] + at + 6  # where the value begins; its size stands before it
            stop = message[start - 1] + start
            key = message[at + 2 : start - 1]
            way = branch.ways.get(key) or self._way(branch, key, message[start:stop])
            if way is None or message[at] != _ENTRY or message[at + 1] != stop - at - 2 or not start < stop <= at + 129:
                return None
            value = message[start:stop]
            following = way.other if way.open and value.isascii() else way.find(self, branch, value.decode())
            if following.__class__ is not Branch:
                return self._nowhere(message, stop, end, branch) if following is Verdict.NO_LIMIT else None
            parts += (way.framed, sizes[stop - start], value)
            branch, at = following, stop
        if at != end:
            return None
        leaf = branch.leaf if branch.is_end else self._leaf(branch)
        if leaf.__class__ is not Leaf:
            return None if leaf is None else (leaf, b"")
        parts[0] = leaf.head
        parts.append(leaf.end)
        counter = b"".join(parts)
        return leaf, counter if leaf.tagged is None else leaf.tagged(self._prefix, counter)

    def _nowhere(self, message: bytes, at: int, end: int, branch: Branch) -> tuple[Any, bytes] | None:
        """No limit for a descriptor that left the tree below `branch`, if what is left of it is sound."""
        entries = branch.depth + 1
        while at < end:
            start = message[at + 3] + at + 6
            stop = message[start - 1] + start
            entry = (message[at], message[at + 1], message[at + 2], message[start - 2])
            if entry != (_ENTRY, stop - at - 2, _KEY, _VALUE) or stop > at + 129:
                return None
            message[at + 4 : start - 2].decode()
            message[start:stop].decode()
            entries, at = entries + 1, stop
        return (Verdict.NO_LIMIT, b"") if at == end and entries <= ENTRIES_MAX else None

    def branch(self, above: Branch, level: Level) -> Branch | None:
        """The branch of a level that was not reached before."""
        node = level.node
        assert node is not None  # noqa: S101 - who calls has found one
        if self._room == 0 or node.share_threshold or not is_named_as_written(level, node):
            return None
        self._room -= 1
        return Branch(node, above.domain, f"{above.path}.{node.composite}", above.depth + 1)

    def _leaf(self, branch: Branch) -> Leaf | Verdict | None:
        """What a descriptor comes to that ends at this branch, as the first one does."""
        limit = branch.node.limit
        branch.is_end = True
        if limit is None:
            branch.leaf = Verdict.NO_LIMIT
        elif limit.replaces or branch.node.detailed_metric:
            branch.leaf = None
        elif limit.unlimited:
            branch.leaf = Verdict.UNLIMITED
        else:  # the limit has metrics from now on, not before
            stats = self._rules.planner.stats_of(branch.path, True)
            branch.leaf = Leaf(
                self._config.domains[branch.domain], self._rules.planner.in_force(limit), stats, self._rules
            )
        return branch.leaf

    def _domain(self, framed: bytes) -> Branch | None:
        domain = framed[2:].decode()
        node = self._config.domains.get(domain)
        if node is None or not domain or framed[0] != _DOMAIN or framed[1] > 127 or self._room == 0:
            return None
        if self._rules.planner.together(node, 1):
            return None  # a single charge is a group here, which a `Leaf` knows nothing of
        self._room -= 1
        root = self._domains[framed] = Branch(node, domain, domain, 0)
        return root

    def _way(self, branch: Branch, framed: bytes, value: bytes) -> Way | None:
        """The way of a key that was not asked for before; it is kept where its value leads on."""
        size = len(framed) - 3
        if framed[0] != _KEY or framed[1] != size or size > 127 or framed[-1] != _VALUE or self._room == 0:
            return None
        if branch.depth == ENTRIES_MAX:
            return None
        key = framed[2:-1].decode()
        text = value.decode()
        if level_below(branch.node, key, text).node is None:
            return _NOWHERE
        framed_key = (self._after if branch.depth else b"") + self._rules.planner.counter.text(key)
        way = Way(branch.node, key, framed_key)
        bare = branch.node.children.get(key)
        if bare is not None:
            way.other = self.branch(branch, Level(branch.node, key, "", Matched.KEY, bare))
        if isinstance(way.find(self, branch, text), Branch):
            self._room -= 1
            branch.ways[framed] = way
        return way


# Open, and leads no value anywhere.
_NOWHERE = Way(Node(""), "", b"")
