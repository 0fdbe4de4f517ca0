import pytest

from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from tests.differential import surface as program
from tests.differential.compare import same


def reply(reset_s: int, remaining: int = 1) -> rls_pb2.RateLimitResponse:
    """An answer whose window lasts so long."""
    message = rls_pb2.RateLimitResponse(overall_code=rls_pb2.RateLimitResponse.OK)
    status = message.statuses.add(limit_remaining=remaining)
    status.duration_until_reset.seconds = reset_s
    message.response_headers_to_add.add(key="RateLimit-Reset", value=str(reset_s))
    return message


def test_a_second_may_lie_between_two_answers() -> None:
    """Of what tells a time, and of nothing else."""
    assert same(reply(59), reply(60))
    assert same(reply(60), reply(59))
    assert not same(reply(60), reply(58))
    assert not same(reply(60, remaining=1), reply(60, remaining=2))
    assert same({"durationUntilReset": "59s"}, {"durationUntilReset": "60s"})
    assert not same({"limitRemaining": 1}, {"limitRemaining": 2})
    assert not same({"value": "1"}, {"value": "2"})


def test_the_order_of_an_object_counts() -> None:
    """A client may not mind, but it is one text or the other."""
    assert not same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert not same([1], [1, 1])


def test_without_a_reference_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, and one line that names what is missing."""
    monkeypatch.setenv("PATH", "")
    assert program.main() == 2
    assert "no `go` on the PATH" in capsys.readouterr().err
