import pytest

from loadtest import bench_floors
from loadtest.bench_floors import LIMIT, Bare, Floors, NullCall, reads_of, request
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2


class Kept(NullCall):
    """A call that keeps its answer."""

    def reply(self, message: bytes) -> None:
        self.message = message


def test_the_bare_loop_does_the_same_arithmetic() -> None:
    """Both answer the same requests with the same counts, so one can be the other's measure."""
    calls, messages = [Kept() for _ in range(3)], [request(1)] * 3
    told = []
    for side in (Floors(), Bare()):
        side.tick([(calls, messages)])
        answers = [rls_pb2.RateLimitResponse.FromString(call.message) for call in calls]
        told.append([(answer.overall_code, answer.statuses[0].limit_remaining) for answer in answers])
    assert told[0] == told[1] == [(1, LIMIT - n) for n in (1, 2, 3)]


def test_it_measures_and_prints(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each case, with its stages and its ratio to the bare loop."""
    monkeypatch.setenv("ROUNDS", "20")
    bench_floors.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1].replace(".", "").isdigit() for line in lines[2:]] == [True] * 5
    assert len(reads_of(lambda: b"")) == bench_floors.READS


@pytest.mark.parametrize("rounds", ["0", "many", "1e3"])
def test_a_wrong_number_of_rounds_is_one_line(monkeypatch: pytest.MonkeyPatch, rounds: str) -> None:
    """It names the variable."""
    monkeypatch.setenv("ROUNDS", rounds)
    with pytest.raises(SystemExit, match="ROUNDS"):
        bench_floors.main()
