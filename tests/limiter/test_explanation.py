import pytest

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.request import Descriptor, Request
from ratelimit.errors import RpcError
from ratelimit.limiter.counter_key import exact_counter
from ratelimit.limiter.explanation import explain
from ratelimit.limiter.plan import Charge, Verdict
from ratelimit.limiter.planner import Planner
from ratelimit.metrics import LimitStats
from tests.differential import explained
from tests.limiter.plans import NOW

TEXT = b"""domain: d
descriptors:
  - {key: a, rate_limit: {unit: minute, requests_per_unit: 1, name: small}}
  - {key: b, rate_limit: {unit: minute, requests_per_unit: 9, name: big, replaces: [{name: small}]}}
"""


def planner() -> Planner:
    """One that counts nothing."""
    return Planner(exact_counter, lambda *_: LimitStats())


def test_each_descriptor_has_the_step_of_its_plan() -> None:
    """A charge has its key of the second asked about; a replaced limit names who replaces it."""
    request = Request("d", (Descriptor((("a", "x"),)), Descriptor((("b", "y"),)), Descriptor((("c", ""),))))
    found = explain(load_config([ConfigFile("f", TEXT)]), request, planner(), NOW).descriptors
    assert (found[0].step, found[0].replaced_by) == (Verdict.REPLACED, (1,))
    assert isinstance(found[1].step, Charge)
    assert found[1].step.key.name == b"{rl:f2:1:d,1:b,1:y,}:%d" % (NOW - NOW % 60)
    assert found[2].step is Verdict.NO_LIMIT


def test_what_the_service_refuses_has_no_explanation() -> None:
    """The reason is the service's own."""
    with pytest.raises(RpcError, match="domain must not be empty"):
        explain(load_config([ConfigFile("f", TEXT)]), Request("", ()), planner(), NOW)


@pytest.mark.parametrize("seeds", [range(20), range(1000, 1010)], ids=["first", "later"])
def test_it_says_what_the_service_does(seeds: range) -> None:
    """Random trees and requests, 25 for each seed: limit, its line, verdict and counter key are the service's."""
    answers = [explained.disagreements(seed) for seed in seeds]
    assert sum(asked for asked, _ in answers) == 25 * len(seeds)
    assert [each for _, found in answers for each in found] == []


def test_the_comparison_sees_a_disagreement(monkeypatch: pytest.MonkeyPatch) -> None:
    """An explanation of another second, or a line that is another's, does not pass."""
    with monkeypatch.context() as patched:
        patched.setattr(explained, "limits_by_line", lambda _: {})
        assert any("does not stand in its line" in each for each in explained.disagreements(1)[1])
    monkeypatch.setattr(explained.Served, "now", lambda _: 0)
    assert any("the store was asked" in each for each in explained.disagreements(1)[1])
