import os
import subprocess
import sys

import pytest

from loadtest.answers import LoadFailedError
from loadtest.servers import OURS, PEER, PROOF, Server, pinned, programs


def test_the_environment_says_what_is_measured() -> None:
    """Ours and the bare server always; more of ours, a peer and another proof by variables."""
    assert [program.name for program in programs({})] == [OURS, PROOF]
    environ = {"EXTRA": "grpcio,memory", "PEER_CMD": "peer --flag 'a b'", "PROOF_CMD": "proof"}
    found = {program.name: program for program in programs(environ)}
    assert list(found) == [OURS, "ours-grpcio", "ours-memory", PEER, PROOF]
    assert found[PEER].command == ["peer", "--flag", "a b"]
    assert found["ours-grpcio"].environ["GRPC_TRANSPORT"] == "grpcio"
    assert (found[PROOF].command, found[PROOF].bare) == (["proof"], True)


def test_an_unknown_extra_is_named() -> None:
    """With what there is."""
    with pytest.raises(ValueError, match="EXTRA: rust is not one of grpcio, memory"):
        programs({"EXTRA": "memory,rust"})


def test_programs_are_pinned_where_that_is_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    """With taskset and a second core."""
    monkeypatch.setattr("shutil.which", lambda name: sys.executable)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert pinned(1) == ["taskset", "-c", "1"]
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert pinned(1) == []


def test_the_time_of_a_server_is_that_of_all_its_processes() -> None:
    """Its own and that of its children; one that ended is named."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = Server("this", 1, os.getpid())
    assert found.cpu_s() >= sum(os.times()[:2]) - 1
    assert found.rss_mb() > Server("child", 1, child.pid).rss_mb() > 1
    child.communicate(b"\n")
    with pytest.raises(LoadFailedError, match="child has ended"):
        Server("child", 1, child.pid).cpu_s()
