import pytest

from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.descriptors.request import Descriptor, Request
from ratelimit.descriptors.tree import Config, Node
from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.limiter.counter_key import CounterFormat, exact_counter, reference_counter
from ratelimit.limiter.counter_store import AMOUNT_MAX
from ratelimit.limiter.plan import Charge, DecisionRules, Verdict
from ratelimit.limiter.planner import Grouping, Planner
from ratelimit.metrics import LimitStats

ASKED = list[tuple[str, bool]]()


def planner(counter: CounterFormat = exact_counter, prefix: str = "") -> Planner:
    """A planner; what it asks the metrics for is kept in ASKED."""
    ASKED.clear()

    def stats_of(stat_key: str, configured: bool) -> LimitStats:
        ASKED.append((stat_key, configured))
        return LimitStats()

    return Planner(counter, stats_of, prefix)


def config(**limits: Limit) -> Config:
    """One domain `d` with a limit for each key."""
    root = Node("d")
    for key, limit in limits.items():
        root.add(Node(key, limit))
    return Config({"d": root})


def named(name: str = "", *replaces: str, unlimited: bool = False) -> Limit:
    """A limit with a name that replaces others."""
    return Limit(5, Unit.MINUTE, unlimited, name, frozenset(replaces))


def steps(loaded: Config, *keys: str) -> tuple[Charge | Verdict, ...]:
    """The plan of one descriptor for each key."""
    descriptors = tuple(Descriptor(((key, "v"),)) for key in keys)
    return planner().plan(loaded, Request("d", descriptors)).steps


def test_a_match_is_charged_and_no_match_is_not() -> None:
    """One step per descriptor, in order."""
    charged, bare = steps(config(a=named()), "a", "b")
    assert isinstance(charged, Charge)
    assert (charged.amount, ASKED) == (1, [("d.a", True)])
    assert bare is Verdict.NO_LIMIT


def test_replaces_drops_the_other_limit() -> None:
    """A matched limit that another of the request replaces is not counted."""
    assert steps(config(a=named("x"), b=named("y", "x")), "a", "b")[0] is Verdict.REPLACED


def test_limits_that_replace_each_other_both_go() -> None:
    """A replaced limit still replaces."""
    both = config(a=named("x", "y"), b=named("y", "x"))
    assert steps(both, "a", "b") == (Verdict.REPLACED, Verdict.REPLACED)


def test_an_unlimited_limit_replaces_and_is_not_replaced() -> None:
    """Unlimited wins over being replaced."""
    both = config(a=named("x", "y"), b=named("y", "x", unlimited=True))
    assert steps(both, "a", "b") == (Verdict.REPLACED, Verdict.UNLIMITED)


@pytest.mark.parametrize(
    ("of_request", "of_descriptor", "negative", "amount"),
    [
        (0, None, False, 1),
        (7, None, False, 7),
        (7, 0, False, 0),
        (0, 3, False, 3),
        (0, 3, True, -3),
        (0, 2**40, False, AMOUNT_MAX),
    ],
)
def test_hits_addend_rules(of_request: int, of_descriptor: int | None, negative: bool, amount: int) -> None:
    """The descriptor's addend where it is set, 0 included; else the request's, at least 1; refunds are negative."""
    descriptor = Descriptor((("a", "v"),), None, of_descriptor, negative)
    step = planner().plan(config(a=named()), Request("d", (descriptor,), of_request)).steps[0]
    assert isinstance(step, Charge)
    assert step.amount == amount


def test_prefix_and_format_reach_the_counter() -> None:
    """The counter is written in the format chosen."""
    plan = planner(reference_counter, "p:").plan(config(a=named()), Request("d", (Descriptor((("a", "v"),)),)))
    assert isinstance(plan.steps[0], Charge)
    assert plan.steps[0].counter == b"p:d_a_v_"


def test_the_near_limit_threshold_follows_the_rules() -> None:
    """NEAR_LIMIT_RATIO is worked out once, with the plan."""
    asked = Request("d", (Descriptor((("a", "v"),)),))
    step = planner().plan(config(a=named()), asked, DecisionRules(near_limit_ratio=0.5)).steps[0]
    assert isinstance(step, Charge)
    assert step.near_limit == 2


def test_unknown_domain_is_told() -> None:
    """Nothing is charged for a domain that no file configures."""
    plan = planner().plan(config(), Request("other", (Descriptor((("a", "v"),)),)))
    assert not plan.domain_found
    assert plan.steps == (Verdict.NO_LIMIT,)


ONE = (Descriptor((("a", "v"),)),)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Request("", ONE), "rate limit domain must not be empty"),
        (Request("d", ()), "rate limit descriptor list must not be empty"),
        (Request("d" * 257, ONE), "domain is longer"),
        (Request("d", ONE * 65), "65 descriptors"),
        (Request("d", (Descriptor((("a", "v"),) * 33),)), "descriptors[0]: 33 entries"),
        (Request("d", (*ONE, Descriptor((("k" * 257, "v"),)))), "descriptors[1].entries[0].key"),
        (Request("d", (Descriptor((("k", "v"), ("k", "v" * 4097))),)), "descriptors[0].entries[1].value"),
    ],
)
def test_bad_requests_are_refused_with_the_place(request_: Request, reason: str) -> None:
    """What is wrong with a request is said, and whose fault it is."""
    with pytest.raises(RpcError) as caught:
        planner().plan(config(), request_)
    assert caught.value.grpc_status is GrpcStatus.INVALID_ARGUMENT
    assert reason in caught.value.details


def test_months_may_be_those_of_the_calendar() -> None:
    """Configured or an override; other units are as they were, and the counters are others."""
    loaded = config(month=Limit(5, Unit.MONTH), day=Limit(5, Unit.DAY))
    override = Descriptor((("x", "v"),), Limit(3, Unit.MONTH))
    asked = Request("d", (*(Descriptor(((key, "v"),)) for key in ("month", "day")), override))
    charged = Planner(exact_counter, lambda *_: LimitStats(), calendar_months=True).plan(loaded, asked).charges
    assert [charge.limit.calendar for charge in charged] == [True, False, True]
    before = planner().plan(loaded, asked).charges
    assert [one.counter == other.counter for one, other in zip(charged, before, strict=True)] == [False, True, False]


def test_requests_are_charged_together_where_it_is_asked_for() -> None:
    """By their domain or for all; one charge needs no group, and their counters have one hash tag."""
    loaded = config(a=named(), b=named())
    several, one = (Request("d", tuple(Descriptor(((key, "v"),)) for key in keys)) for keys in ("abx", "ax"))

    def plans(planner: Planner) -> list[int]:
        return [planner.plan(loaded, each).together for each in (several, one)]

    stopping = Planner(exact_counter, lambda *_: LimitStats(), grouping=Grouping(stop_when_over=True))
    assert plans(planner()) == [0, 0]
    assert plans(stopping) == [-1, 0]
    loaded.domains["d"].all_or_nothing = True
    assert plans(planner()) == plans(stopping) == [1, 0]
    assert {each.counter[: each.counter.index(b"}")] for each in planner().plan(loaded, several).charges} == {
        b"{rl:1:d,"
    }
    joined = planner(reference_counter).plan(loaded, one).charges[0].counter
    assert joined == b"d_a_v_"


def test_a_plan_says_whether_its_hits_are_its_own() -> None:
    """Those that are charged together are."""
    loaded = config(a=named(), b=named())
    asked = Request("d", tuple(Descriptor(((key, "v"),)) for key in "ab"))
    assert not planner().plan(loaded, asked).own
    loaded.domains["d"].all_or_nothing = True
    assert planner().plan(loaded, asked).own
