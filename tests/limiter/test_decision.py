import pytest

from ratelimit.limiter.decision import REMAINING_UNLIMITED, Decision, DecisionRules, decide, near_limit_threshold
from ratelimit.limiter.plan import Charge, Verdict
from tests.limiter.plans import charge, limit, plan

NOW = 1_700_000_010
RULES = DecisionRules()


def judge(step: Charge, after: int | None, rules: DecisionRules = RULES) -> Decision:
    """Decide a request of one descriptor."""
    return decide(plan(step), [after], NOW, rules)


def test_at_the_limit_is_ok_and_beyond_is_over() -> None:
    """Over means greater than the limit."""
    at, beyond = judge(charge(3), 3), judge(charge(3), 4)
    assert (at.over_limit, at.statuses[0].limit_remaining) == (False, 0)
    assert (beyond.over_limit, beyond.statuses[0].over_limit, beyond.statuses[0].limit_remaining) == (True, True, 0)
    assert beyond.statuses[0].duration_until_reset_s == 60 - NOW % 60


def test_bare_statuses() -> None:
    """No limit, replaced and unlimited are OK; only unlimited has something remaining."""
    decision = decide(plan(Verdict.NO_LIMIT, Verdict.REPLACED, Verdict.UNLIMITED), [], NOW, RULES)
    assert [status.limit_remaining for status in decision.statuses] == [0, 0, REMAINING_UNLIMITED]
    assert all(status.limit is None and not status.over_limit for status in decision.statuses)
    assert (decision.over_limit, decision.tightest, decision.passed) == (False, None, [0, 1])


@pytest.mark.parametrize(
    ("after", "amount", "near", "over", "within"),
    [
        (8, 1, 0, 0, 1),
        (9, 1, 1, 0, 1),
        (10, 4, 2, 0, 4),
        (12, 4, 2, 2, 0),
        (12, 8, 2, 2, 0),
        (20, 4, 0, 4, 0),
        (13, 4, 1, 3, 0),
        (5, 0, 0, 0, 0),
    ],
)
def test_crossing_a_threshold_counts_what_is_beyond(after: int, amount: int, near: int, over: int, within: int) -> None:
    """near_limit and over_limit take only the hits beyond 8 and 10."""
    tally = judge(charge(10, amount=amount), after).tallies[0]
    assert (tally.near_limit, tally.over_limit, tally.within_limit, tally.total_hits) == (near, over, within, amount)


def test_shadow_mode_of_a_limit_says_ok() -> None:
    """The status is OK, the stats tell what would have been denied."""
    decision = judge(charge(of=limit(1, shadow_mode=True), amount=3), 4)
    assert not decision.over_limit
    assert (decision.tallies[0].over_limit, decision.tallies[0].shadow_mode) == (3, 3)


def test_the_over_limit_cache_denies_without_a_count() -> None:
    """A key known to be over counts as over_limit_with_local_cache."""
    decision = judge(charge(3, amount=2), None)
    assert decision.over_limit
    assert (decision.tallies[0].over_limit, decision.tallies[0].over_limit_with_local_cache) == (2, 2)


def test_a_refund_is_no_hit() -> None:
    """It counts as total_negative_hits, and its status is by the count after it."""
    decision = judge(charge(3, amount=-2), 1)
    assert (decision.over_limit, decision.statuses[0].limit_remaining) == (False, 2)
    assert (decision.tallies[0].total_hits, decision.tallies[0].total_negative_hits) == (0, 2)


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
    assert decide(plan(*steps), counts, NOW, RULES).over_limit is over


def test_global_quota_mode_counts_a_descriptor_without_match_as_passing() -> None:
    """With QUOTA_MODE a descriptor that matched nothing keeps the request admitted."""
    rules = DecisionRules(quota_mode=True)
    assert judge(charge(5), 6, rules).over_limit
    assert not decide(plan(charge(5), Verdict.NO_LIMIT), [6], NOW, rules).over_limit


@pytest.mark.parametrize(("counts", "tightest"), [([2, 5], 1), ([5, 5], 0), ([11, 12], 1), ([11, 5], 0), ([5, 11], 1)])
def test_headers_speak_of_the_tightest(counts: list[int], tightest: int) -> None:
    """The smallest remaining, the first on ties; the last that is over wins over all."""
    assert decide(plan(charge(), charge()), counts, NOW, RULES).tightest == tightest


@pytest.mark.parametrize(("most", "ratio", "near"), [(100, 0.29, 29), (10, 0.8, 8), (5, 0.8, 4), (1, 0.8, 0)])
def test_near_limit_is_single_precision(most: int, ratio: float, near: int) -> None:
    """As the reference computes it: in double precision 100 x 0.29 would be 28."""
    assert near_limit_threshold(most, ratio) == near
