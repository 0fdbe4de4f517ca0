import pytest

from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.decision import REMAINING_UNLIMITED, Decision, decide, near_limit_threshold
from ratelimit.limiter.plan import Charge, Plan, Verdict
from tests.limiter.plans import charge, limit, plan


def judge(asked: Plan, *counts: int) -> Decision:
    """Decide a request whose counters came to `counts`, 7 seconds before they reset."""
    charges = asked.charges
    return decide(
        asked, [each.algorithm.judge(n, each.requests_per_unit, 7) for each, n in zip(charges, counts, strict=True)]
    )


def test_at_the_limit_is_ok_and_beyond_is_over() -> None:
    """Over means greater than the limit."""
    at, beyond = judge(plan(charge(3)), 3), judge(plan(charge(3)), 4)
    assert (at.over_limit, at.statuses[0].limit_remaining) == (False, 0)
    assert (beyond.over_limit, beyond.statuses[0].over_limit, beyond.statuses[0].limit_remaining) == (True, True, 0)
    assert beyond.statuses[0].duration_until_reset_s == 7


def test_the_result_is_believed() -> None:
    """What an algorithm says of a hit is what is answered, whatever its count."""
    status = decide(plan(charge(3)), [Counted(1, allowed=False, remaining=2, reset_s=5)]).statuses[0]
    assert (status.over_limit, status.limit_remaining, status.duration_until_reset_s) == (True, 2, 5)


def test_bare_statuses() -> None:
    """No limit, replaced and unlimited are OK; only unlimited has something remaining."""
    decision = judge(plan(Verdict.NO_LIMIT, Verdict.REPLACED, Verdict.UNLIMITED))
    assert [status.limit_remaining for status in decision.statuses] == [0, 0, REMAINING_UNLIMITED]
    assert all(status.limit is None and not status.over_limit for status in decision.statuses)
    assert (decision.over_limit, decision.tightest, decision.passed) == (False, None, [0, 1])


def test_shadow_mode_of_a_limit_says_ok() -> None:
    """The status is OK, and nothing remains."""
    decision = judge(plan(charge(of=limit(1, shadow_mode=True), amount=3)), 4)
    assert not decision.over_limit
    assert (decision.statuses[0].over_limit, decision.statuses[0].limit_remaining) == (False, 0)


QUOTA = limit(5, quota_mode=True)


@pytest.mark.parametrize(
    ("steps", "counts", "over"),
    [
        ([charge(of=QUOTA)], [6], True),
        ([charge(of=QUOTA), charge(of=QUOTA)], [6, 1], False),
        ([charge(of=QUOTA), charge(of=QUOTA)], [6, 6], True),
        ([charge(of=QUOTA), charge(5)], [6, 1], True),
        ([charge(of=QUOTA), charge(5)], [1, 6], True),
    ],
)
def test_quota_limits_deny_only_together(steps: list[Charge], counts: list[int], over: bool) -> None:
    """Limits in quota mode deny when all of them are over, whatever the others say."""
    assert judge(plan(*steps), *counts).over_limit is over


def test_global_quota_mode_counts_a_descriptor_without_match_as_passing() -> None:
    """With QUOTA_MODE a descriptor that matched nothing keeps the request admitted."""
    assert judge(plan(charge(5), quota_mode=True), 6).over_limit
    assert not judge(plan(charge(5), Verdict.NO_LIMIT, quota_mode=True), 6).over_limit


@pytest.mark.parametrize(("counts", "tightest"), [([2, 5], 1), ([5, 5], 0), ([11, 12], 1), ([11, 5], 0), ([5, 11], 1)])
def test_headers_speak_of_the_tightest(counts: list[int], tightest: int) -> None:
    """The smallest remaining, the first on ties; the last that is over wins over all."""
    assert judge(plan(charge(), charge()), *counts).tightest == tightest


@pytest.mark.parametrize(("most", "ratio", "near"), [(100, 0.29, 29), (10, 0.8, 8), (5, 0.8, 4), (1, 0.8, 0)])
def test_near_limit_is_single_precision(most: int, ratio: float, near: int) -> None:
    """As the reference computes it: in double precision 100 x 0.29 would be 28."""
    assert near_limit_threshold(most, ratio) == near
