import pytest

from tests.wire import independent
from tests.wire.independent import GHZ_CALLS, Check, Server, ghz, h2spec, interop


def test_without_go_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, and one line that names what is missing."""
    monkeypatch.setenv("PATH", "")
    assert independent.main() == 2
    assert "no `go` on the PATH" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("check", "output", "fault"),
    [
        (h2spec(Server(1)), "146 tests, 146 passed, 0 skipped, 0 failed", ""),
        (h2spec(Server(1)), "146 tests, 145 passed, 0 skipped, 1 failed", "145 of 146 cases passed"),
        (h2spec(Server(1)), "145 tests, 145 passed", "145 of 146 cases passed"),
        (h2spec(Server(1)), "", "0 of 146 cases passed"),
        (ghz(Server(1)), f'{{"statusCodeDistribution": {{"OK": {GHZ_CALLS}}}}}', ""),
        (
            ghz(Server(1)),
            '{"statusCodeDistribution": {"OK": 1, "Canceled": 2}}',
            "statuses are {'OK': 1, 'Canceled': 2}",
        ),
        (ghz(Server(1)), "connection refused", "no report"),
    ],
)
def test_what_a_program_prints_is_judged(check: Check, output: str, fault: str) -> None:
    """All cases and all calls, or it is told how many."""
    assert check.fault(output) == fault


def test_an_exit_status_is_a_fault() -> None:
    """With what the program said; silence and success are none."""
    assert Check("", ("sh", "-c", "echo why; exit 3"), lambda _: "").run() == "exit status 3\nwhy\n"
    assert Check("", ("true",), lambda _: "").run() == ""


def test_tls_is_checked_against_the_server_s_certificate() -> None:
    """Each program is told what to trust."""
    server = Server(1, "server.crt")
    assert "--tls" in h2spec(server).command
    assert "server.crt" in ghz(server).command
    assert "server.crt" in interop(server, "empty_unary").command
