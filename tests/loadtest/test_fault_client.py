import io
import json
import sys
from array import array
from pathlib import Path

import pytest

from loadtest.answers import DATA, END_STREAM, HEADERS, frame
from loadtest.fault_client import AnyAnswers, main
from tests.loadtest.test_raw_client import Peer

FAILED = b"\x88\0\x0bgrpc-status\x0214"
GOOD = b"\0\x0bgrpc-status\x010"


def test_every_answer_counts() -> None:
    """With its status, whether a message came or not, and however the bytes are cut."""
    wire = frame(HEADERS, 4, 1, b"\x88") + frame(DATA, 0, 1, b"\0\0\0\0\x02\x08\x01") + frame(HEADERS, 5, 1, GOOD)
    wire += frame(HEADERS, 4 | END_STREAM, 3, FAILED) * 2
    answers = AnyAnswers()
    streams = [stream for at in range(len(wire)) for stream in answers.feed(wire[at : at + 1])]
    assert (streams, answers.statuses) == ([1, 3, 3], [0, 14, 14])


@pytest.mark.parametrize("rate", [0, 1000])
def test_the_calls_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rate: int
) -> None:
    """Three numbers for each: when it was due, how long it took, its status."""
    peer = Peer(frame(HEADERS, 5, 1, FAILED) + frame(HEADERS, 5, 3, GOOD))
    peer.start()
    load = {"port": peer.port, "requests": 2, "connections": 1, "rate": rate}
    monkeypatch.setattr(sys, "argv", ["fault_client", str(tmp_path / "calls"), json.dumps(load)])
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert (main(), capsys.readouterr().out) == (0, "ready\n")
    peer.join()
    rows = array("d", (tmp_path / "calls").read_bytes())
    assert list(rows[2::3]) == [14.0, 0.0]
    assert rate or all(took >= 0 for took in rows[1::3])  # in an open loop this peer answers early
    assert rows[0] <= rows[3]


def test_a_server_that_ends_fails_the_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says so."""
    peer = Peer(frame(HEADERS, 5, 1, FAILED))
    peer.start()
    load = {"port": peer.port, "requests": 2, "connections": 1}
    monkeypatch.setattr(sys, "argv", ["fault_client", str(tmp_path / "calls"), json.dumps(load)])
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main() == 1
    peer.join()
    assert "failed: " in capsys.readouterr().out
