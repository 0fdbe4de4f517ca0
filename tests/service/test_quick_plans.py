from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.limiter.counter_key import CounterFormat, bucket_counter, exact_counter, reference_counter
from ratelimit.limiter.plan import DecisionRules
from ratelimit.limiter.planner import Planner
from ratelimit.metrics import Metrics
from ratelimit.service import quick_plans
from ratelimit.service.messages import parse_request
from ratelimit.service.plan_memo import PreparedPlan, Statuses
from ratelimit.service.quick_plans import PlanRules, QuickPlans
from ratelimit.service.wire import check_size
from ratelimit.settings import ResponseSettings
from tests.service.messages_of import descriptor, request

PER_MINUTE = "rate_limit: {unit: minute, requests_per_unit: 5}"
CONFIG = f"""
domain: d
descriptors:
  - {{key: k, {PER_MINUTE}}}
  - {{key: k, value: vip, rate_limit: {{unit: hour, requests_per_unit: 9, name: vip}}}}
  - key: a
    descriptors:
      - {{key: b, {PER_MINUTE}}}
      - {{key: k, value: 'x*', {PER_MINUTE}}}
      - {{key: k, value: 'y*z', share_threshold: true, {PER_MINUTE}}}
      - {{key: k, {PER_MINUTE}}}
  - {{key: a, value: x, descriptors: [{{key: b, rate_limit: {{unit: day, requests_per_unit: 7}}}}]}}
  - {{key: a_y, {PER_MINUTE}}}
  - {{key: open, rate_limit: {{unlimited: true}}}}
  - {{key: other, rate_limit: {{unit: day, requests_per_unit: 3, replaces: [{{name: vip}}]}}}}
  - {{key: named, value_to_metric: true, {PER_MINUTE}}}
  - {{key: full, detailed_metric: true, {PER_MINUTE}}}
  - {{key: {"l" * 100}, {PER_MINUTE}}}
  - {{key: quota, quota_mode: true, {PER_MINUTE}}}
"""
ALL_OR_NOTHING = f"""
domain: g
all_or_nothing: true
descriptors:
  - {{key: k, {PER_MINUTE}}}
  - {{key: a, {PER_MINUTE}}}
"""
OTHERS = """
domain: h
descriptors:
  - {key: k, rate_limit: {unit: minute, requests_per_unit: 5, algorithm: gcra}}
  - {key: a, rate_limit: {unit: minute, requests_per_unit: 5, algorithm: sliding_window}}
"""
LOADED = load_config(
    [ConfigFile("f", CONFIG.encode()), ConfigFile("g", ALL_OR_NOTHING.encode()), ConfigFile("h", OTHERS.encode())]
)


class Both:
    """The two ways to a plan, under the same configuration and rules."""

    def __init__(self, counter: CounterFormat = exact_counter, **response: Any) -> None:
        self.metrics = metrics = Metrics()
        statuses = Statuses()
        planner = Planner(counter, lambda key, configured: metrics.limit(key, configured=configured), "p:")
        self._rules = PlanRules(DecisionRules(0.5), ResponseSettings.model_validate(response), planner, statuses)
        self._quick = QuickPlans(LOADED, self._rules)

    def quick(self, message: bytes) -> PreparedPlan | None:
        """By the bytes."""
        return self._quick.plan(message)

    def full(self, message: bytes) -> PreparedPlan:
        """By protobuf and the planner."""
        check_size(message)
        rules = self._rules
        plan = rules.planner.plan(LOADED, parse_request(message), rules.decision)
        return PreparedPlan(plan, message, rules.response, rules.statuses)

    def is_quick(self, message: bytes) -> bool:
        """Whether there is a quick plan; that it is the same as the full one."""
        quick = self.quick(message)
        if quick is not None:
            assert shown(quick) == shown(self.full(message))
        return quick is not None


def shown(prepared: PreparedPlan) -> Any:
    """All that a prepared plan is; metrics, status bytes and limits by their identity."""
    plan = prepared.plan
    charges = [
        (id(each.limit), each.counter, each.amount, each.near_limit, id(each.stats), each.algorithm)
        for each in prepared.charges
    ]
    assert plan.charges == prepared.charges
    assert prepared.single in (None, *prepared.charges)
    return (
        (plan.domain, plan.rules, plan.domain_found, plan.together, len(plan.steps), charges),
        (prepared.own, prepared.together, prepared.own_statuses),
        (prepared.amounts, prepared.single is not None, prepared.message, prepared.response, prepared.bytes_held),
        (prepared.status, prepared.statuses, prepared.verdicts),
    )


KEYS = st.sampled_from(["k", "a", "b", "a_y", "open", "other", "named", "full", "quota", "none", ""])
VALUES = st.one_of(
    st.sampled_from(["v", "vip", "x", "y", "xy", "yz", "y-z", "*", "x*", "é", "u" * 200]), st.text(max_size=5)
)
DESCRIPTORS = st.builds(
    lambda entries, fields: descriptor(*entries, **fields),
    st.lists(st.tuples(KEYS, VALUES), max_size=3),
    st.sampled_from([{}, {}, {}, {"hits_addend": {"value": 2}}, {"is_negative_hits": True}]),
)
MESSAGES = st.builds(
    lambda described, domain, hits: request(*described, domain=domain, hits_addend=hits),
    st.lists(DESCRIPTORS, max_size=3),
    st.sampled_from(["d", "d", "d", "g", "h", "e", ""]),
    st.sampled_from([0, 0, 0, 2]),
)
# What is done to the bytes: at a place, so many are cut out and these put in.
EDITS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2), st.binary(max_size=2)), max_size=2)
BOTH = [Both(), Both(reference_counter, limit_response_headers_enabled=True), Both(bucket_counter)]


@given(MESSAGES, EDITS)
@example(request(descriptor(("k", "v"))), [(13, 1, b"\xff")])
@example(request(descriptor(("k", "v"))), [(0, 0, b"\x0a\x01e")])
def test_both_ways_give_the_same_plan(message: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    """Whatever the bytes are, a quick plan is the full one; where that is an error there is none."""
    for place, cut, put in edits:
        message = message[:place] + put + message[place + cut :]
    for both in BOTH:
        both.is_quick(message)


@pytest.mark.parametrize(
    "message",
    [
        request(descriptor(("k", "v"))),
        request(descriptor(("quota", "v"))),
        request(descriptor(("a", "v"), ("b", "w")), descriptor(("none", "v"), ("none", "w"))),
        request(descriptor(("a", "v" * 70), ("b", "w" * 70))),
    ],
)
def test_any_byte_may_be_another(message: bytes) -> None:
    """Each byte of a common message changed into each other one: a quick plan is the full one, an error has none."""
    both = BOTH[0]
    quick = sum(
        both.is_quick(message[:place] + bytes((other,)) + message[place + 1 :])
        for place in range(len(message))
        for other in range(256)
    )
    assert quick > 256


@pytest.mark.parametrize("counter", [exact_counter, reference_counter, bucket_counter])
@pytest.mark.parametrize(
    "entries",
    [
        [("k", "v")],
        [("k", "é" * 20)],
        [("k", "vip")],
        [("a", "v"), ("b", "w" * 60)],
        [("a", "v" * 70), ("b", "w" * 70)],
        [("a", "x"), ("b", "w")],
        [("a", "v"), ("k", "xyz")],
        [("a_y", "v")],
        [("quota", "v")],
        [("open", "v")],
        [("none", "v")],
        [("none", "é"), ("none", "w")],
        [("a", "v")],
        [],
    ],
)
def test_what_is_common_is_quick(counter: CounterFormat, entries: list[tuple[str, str]]) -> None:
    """Any value, one of the configuration's, a pattern, two entries, and two such descriptors beside each other."""
    both = Both(counter)
    assert both.is_quick(request(descriptor(*entries)))
    assert both.is_quick(request(descriptor(*entries), descriptor(("k", "other"))))


# An entry whose first size byte alone would be right; with the second one it is far too large.
OVERSIZED = b"\x0a\xc8\x0a\x64%b\x12\x60%b" % (b"l" * 100, b"v" * 96)
# A value that ends in what would be another descriptor, if the first one ended before it.
HIDDEN = descriptor(("k", "w")).SerializeToString()
HIDDEN = b"\x12%c%b" % (len(HIDDEN), HIDDEN)
HIDING = request(descriptor(("quota", "v" + HIDDEN.decode())))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x0a\x01d\x12\xca\x01" + OVERSIZED,
        b"\x0a\x01d\x12\xd5\x01" + request(descriptor(("none", "v")))[5:] + OVERSIZED,
        HIDING[:4] + bytes((HIDING[4] - len(HIDDEN),)) + HIDING[5:],
        request(),
        request(descriptor(*[("none", "v")] * 33)),
        request(descriptor(("none", "v"), ("none", "v")))[:-1] + b"\xff",
        request(descriptor(("k", ""))),
        request(descriptor(("k", "v")), domain="e"),
        request(descriptor(("k", "v")), hits_addend=2),
        request(descriptor(("k", "v"), hits_addend={"value": 0})),
        request(descriptor(("k", "v")), descriptor(("other", "v"))),
        request(descriptor(("a", "v"), ("k", "yz"))),
        *(request(descriptor((key, "v"))) for key in ("other", "named", "full")),
        request(descriptor(("k", "v" * 128))),
        request(*[descriptor(("k", "v"))] * 65),
        request(descriptor(("k", "v")))[:-1],
        request(descriptor(("k", "v")))[:-1] + b"\xff",
    ],
)
def test_what_needs_more_goes_the_full_way(message: bytes) -> None:
    """Amounts, limits that replace others, metrics by value, no message: none has a quick plan."""
    assert BOTH[0].quick(message) is None


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is no more room, what is known stays quick and the rest goes the full way."""
    monkeypatch.setattr(quick_plans, "KEPT_MAX", 3)
    both = Both()
    known = request(descriptor(("k", "v")))
    assert [both.is_quick(known), both.is_quick(request(descriptor(("a", "v"), ("b", "w")))), both.is_quick(known)] == [
        True,
        False,
        True,
    ]


def test_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may have too many entries for the planner is left to it."""
    monkeypatch.setattr(quick_plans, "ENTRIES_MAX", 1)
    both = Both()
    asked = [[("k", "v")], [("a", "v"), ("b", "w")], [("none", "v"), ("none", "w")]]
    assert [both.quick(request(descriptor(*entries))) is None for entries in asked] == [False, True, True]


def test_keys_that_lead_nowhere_are_not_kept() -> None:
    """Whatever a caller calls its entries, nothing grows by it."""
    both = Both()
    for number in range(10):
        assert both.is_quick(request(descriptor((f"key{number}", "v"))))
    assert both._quick._room == quick_plans.KEPT_MAX - 1


def test_below_a_node_with_many_children_each_value_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is scanned there, and the plans are the same."""
    monkeypatch.setattr(quick_plans, "SCANNED_MAX", 1)
    both = Both()
    assert all(both.is_quick(request(descriptor(("k", value)))) for value in ("v", "vip", "w"))


def test_only_limits_that_were_reached_have_metrics() -> None:
    """Looking at what stands beside the one that is asked for shows nothing of it."""
    both = Both()
    assert both.quick(request(descriptor(("k", "vip")))) is not None
    assert list(both.metrics.limits) == ["d.k_vip"]


@pytest.mark.parametrize("domain", ["g", "h"])
@pytest.mark.parametrize("keys", ["k", "ka"])
def test_plans_of_own_hits_are_quick_too(domain: str, keys: str) -> None:
    """Where limits are charged together, and where they count by another algorithm."""
    assert Both().is_quick(request(*(descriptor((key, "v")) for key in keys), domain=domain))


def test_a_quick_plan_has_months_of_the_calendar() -> None:
    """The same counter and limit as the planner's."""
    text = b"domain: d\ndescriptors: [{key: k, rate_limit: {unit: month, requests_per_unit: 5}}]"
    loaded = load_config([ConfigFile("f", text)])
    metrics = Metrics()
    planner = Planner(
        exact_counter, lambda key, configured: metrics.limit(key, configured=configured), "", calendar_months=True
    )
    message = request(descriptor(("k", "v")))
    quick = QuickPlans(loaded, PlanRules(DecisionRules(), ResponseSettings(), planner, Statuses())).plan(message)
    full = planner.plan(loaded, parse_request(message)).charges[0]
    assert quick is not None
    assert (quick.charges[0].limit, quick.charges[0].counter) == (full.limit, full.counter)
    assert full.limit.calendar
