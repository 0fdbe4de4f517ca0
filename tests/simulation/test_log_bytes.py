import gzip
import io
from pathlib import Path

import pytest

from ratelimit.errors import LogError
from ratelimit.simulation import log_bytes
from ratelimit.simulation.log_bytes import blocks, is_json, opened

LINES = b"".join(b'{"n": %d}\n' % number for number in range(60_000))


def read(place: str) -> tuple[bool, list[bytes]]:
    """Whether it looks like JSON, and its blocks."""
    with opened(place) as file:
        return is_json(file), list(blocks(file))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("ending", [b"", b'{"n": 1}'])
def test_blocks_of_whole_lines(tmp_path: Path, pack: type[bytes], ending: bytes) -> None:
    """Of a file, packed or not, with an end of the last line or without."""
    (tmp_path / "log").write_bytes(pack(LINES + ending))
    json, found = read(str(tmp_path / "log"))
    assert json
    assert len(found) > 2
    assert all(each.endswith(b"\n") for each in found[:-1])
    assert b"".join(found) == LINES + ending


@pytest.mark.parametrize("raw", [b"time,a\n1,2\n", gzip.compress(b"time,a\n1,2\n")], ids=["plain", "packed"])
def test_standard_input(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    """`-` reads it, as it comes."""
    stream = io.TextIOWrapper(io.BytesIO(raw))
    monkeypatch.setattr("sys.stdin", stream)
    assert read("-") == (False, [b"time,a\n1,2\n"])


@pytest.mark.parametrize(
    ("text", "json"),
    [('":1}\n {"a": 1}\n', True), ("time,a\n" + "1,2\n" * 20 + "{", False), ("{", True), ("\n", False)],
)
def test_what_looks_like_json(tmp_path: Path, text: str, json: bool) -> None:
    """One of the first lines begins with a brace: the very first may be torn."""
    (tmp_path / "log").write_text(text)
    assert read(str(tmp_path / "log"))[0] == json


def test_an_empty_log(tmp_path: Path) -> None:
    """It is said that it is."""
    (tmp_path / "log").write_text("")
    with pytest.raises(LogError, match="is empty"):
        read(str(tmp_path / "log"))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """No file, a directory, and what is packed and torn."""
    with pytest.raises(LogError, match="cannot be read: No such file"):
        read(str(tmp_path / "none"))
    with pytest.raises(LogError, match="cannot be read: Is a directory"):
        read(str(tmp_path))
    (tmp_path / "torn").write_bytes(gzip.compress(LINES)[:5_000])
    with pytest.raises(LogError, match="what gzip packed is broken: Compressed file ended"):
        read(str(tmp_path / "torn"))
    (tmp_path / "wrong").write_bytes(gzip.compress(LINES)[:100] + b"x" * 5_000)
    with pytest.raises(LogError, match="what gzip packed is broken"):
        read(str(tmp_path / "wrong"))


def test_a_line_without_an_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is not held in memory."""
    monkeypatch.setattr(log_bytes, "BLOCK_BYTES", 10)
    monkeypatch.setattr(log_bytes, "LINE_BYTES_MAX", 100)
    (tmp_path / "log").write_bytes(b"x" * 1_000)
    with pytest.raises(LogError, match="a line is longer than 100 bytes"):
        read(str(tmp_path / "log"))
