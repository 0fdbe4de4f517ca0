import asyncio
import json
import sys
from pathlib import Path

import pytest

from ratelimit.sources import reader
from ratelimit.sources.handover import Job
from ratelimit.sources.reader import answer


def ends(job: Job) -> dict[str, object]:
    """The last line of the answer."""
    *_, last = answer(job)
    found: dict[str, object] = json.loads(last)
    return found


def test_files_are_read_checked_and_handed_over(tmp_path: Path) -> None:
    """Nodes first, then the digest; with that digest known there is nothing to say."""
    (tmp_path / "a.yaml").write_text("domain: d\ndomain: e")
    job = Job(str(tmp_path), strict=False)
    first, last = (json.loads(line) for line in answer(job))
    assert first == {"nodes": [[0, "e", "", 0, 2, "domain", None, "a.yaml"]]}
    assert last["warnings"] == ["a.yaml:2: domain: the key 'domain' is given twice, first in line 1"]
    assert ends(Job(str(tmp_path), strict=False, known=last["loaded"])) == {"unchanged": True}


def test_a_broken_file_is_told_with_the_digest_of_all(tmp_path: Path) -> None:
    """So that the same broken files are not read again; a directory that cannot be read has none."""
    (tmp_path / "a.yaml").write_text("domain: d\nx: 1")
    broken, missing = ends(Job(str(tmp_path))), ends(Job(str(tmp_path / "no")))
    assert broken["failed"] == {"reason": "config error, unknown key 'x'", "file": "a.yaml", "line": 2, "key_path": "x"}
    assert broken["digest"]
    assert not missing["digest"]


def test_memory_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the process may take is an error like others."""

    def too_much(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(reader, "read_directory", too_much)
    failed = ends(Job(str(tmp_path)))["failed"]
    assert isinstance(failed, dict)
    assert "bytes of memory" in failed["reason"]


async def test_it_is_a_command(tmp_path: Path) -> None:
    """A job on standard input, lines on standard output, with a lower priority and a bound on memory."""
    (tmp_path / "a.yaml").write_text("domain: d")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ratelimit.sources.reader", stdin=pipe, stdout=pipe
    )
    output, _ = await asyncio.wait_for(process.communicate(Job(str(tmp_path)).line()), 60)
    assert process.returncode == 0
    assert b'"loaded"' in output.splitlines()[-1]
