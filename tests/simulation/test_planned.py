import pytest

from ratelimit.errors import RpcError
from ratelimit.limiter.algorithm import FIXED_WINDOW
from tests.simulation.scene import plan, rate, replay

A, B = f"key: a, {rate(1)}", f"key: b, {rate(1)}"
SLIDING = f"key: s, {rate(1, more=', algorithm: sliding_window')}"


def test_the_common_request() -> None:
    """One charge of a fixed window: it is counted in place, and denied where it is over."""
    (planned,) = plan(replay(A), "a=x")
    assert planned.single is not None
    assert planned.single.tally.name == "d.a"
    assert planned.denies


@pytest.mark.parametrize(
    ("limits", "top", "environ", "fast", "exact"),
    [
        ([A, B], "", {}, 2, 0),
        ([A, SLIDING], "", {}, 1, 1),
        ([A, B], "all_or_nothing: true", {}, 0, 2),
        ([A, B], "", {"STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT": "true"}, 0, 2),
        ([A, B], "", {"LOCAL_CACHE_SIZE_IN_BYTES": "1000"}, 0, 2),
        ([A, B], "", {"COUNTER_KEY_FORMAT": "reference"}, 2, 0),
    ],
)
def test_lanes(limits: list[str], top: str, environ: dict[str, str], fast: int, exact: int) -> None:
    """Fixed windows that nothing is charged together with go the fast one."""
    (planned,) = plan(replay(*limits, top=top, **environ), "a=x", "s=x" if SLIDING in limits else "b=x")
    assert planned.single is None
    assert (len(planned.fast), len(planned.exact)) == (fast, exact)
    assert (planned.submission is None) == (exact == 0)
    assert all(reached.charge.algorithm is FIXED_WINDOW for _, reached in planned.fast)


def test_a_counter_of_two_domains_stays_in_one_lane() -> None:
    """In the reference's format a counter may be that of another domain, which charges together."""
    replayed = replay(A, top="all_or_nothing: true", COUNTER_KEY_FORMAT="reference")
    assert replayed._planning._all_exact


def test_who_denies() -> None:
    """The limits that are over and outside shadow mode; in quota mode all must be over."""
    quota = [f"key: {key}, quota_mode: true, {rate(1)}" for key in "ab"]
    shadow = f"key: s, shadow_mode: true, {rate(1)}"
    (planned,) = plan(replay(*quota, shadow), "a=x", "b=x", "s=x")
    denied = [(planned.outcome(over).denied, len(planned.outcome(over).by)) for over in (0, 1, 3, 4, 7)]
    assert denied == [(False, 0), (False, 0), (True, 2), (False, 0), (True, 2)]


def test_the_global_shadow_mode() -> None:
    """Nothing is denied."""
    (planned,) = plan(replay(A, SHADOW_MODE="true"), "a=x")
    assert not planned.denies


def test_what_is_not_counted() -> None:
    """No limit, an unlimited one, one that is replaced: each has its tally."""
    unlimited = "key: u, rate_limit: {unlimited: true}"
    named = f"key: n, {rate(1, more=', name: old')}"
    replacing = f"key: r, {rate(1, more=', replaces: [{name: old}]')}"
    (planned,) = plan(replay(unlimited, named, replacing), "x=y", "u=1", "n=1", "r=1")
    assert [each.tally.verdict for each in planned.reached] == ["no limit", "unlimited", "replaced", "counted"]
    assert planned.reached[0].key == "d: x=y"


def test_what_the_service_refuses() -> None:
    """Is refused here too."""
    with pytest.raises(RpcError, match="at most 32 are allowed"):
        plan(replay(A), ",".join(["a=b"] * 33))
