import asyncio
import os
import sys
import weakref
from pathlib import Path

import pytest

from ratelimit.descriptors.tree import Node
from ratelimit.sources.handover import Job
from ratelimit.sources.reader_process import Answer, read, release

BIG = "domain: d\ndescriptors:\n" + "".join(f"- {{key: k{n}}}\n" for n in range(2000))


def python(code: str) -> tuple[str, ...]:
    """A process that runs `code` in the place of the reader."""
    return (sys.executable, "-c", f"import os, sys, time\n{code}")


def failed(answer: Answer) -> str:
    """The error of an answer that has nothing else."""
    assert answer.config is None
    assert not answer.digest
    assert not answer.pieces
    return str(answer.error)


async def test_a_directory_becomes_a_configuration(tmp_path: Path) -> None:
    """Every node arrives; the digest tells next time that nothing changed."""
    (tmp_path / "a.yaml").write_text(BIG)
    answer = await read(Job(str(tmp_path)))
    assert answer.config is not None
    assert len(answer.config.domains["d"].children) == 2000
    again = await read(Job(str(tmp_path), known=answer.digest))
    assert (again.config, again.error) == (None, None)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("os.abort()", "ended with code -6: it said nothing"),
        ("raise ValueError('no luck')", "ended with code 1: ValueError: no luck"),
        ("pass", "ended with code 0"),
        ('print(\'\'\'{"nodes": [[0, "d", "", 0, 1, "", null, "f"]]}\'\'\')', "ended with code 0"),
        ("print('nonsense')", "wrote what is no answer"),
        ("print('[' * 100000)", "wrote what is no answer"),
        ("print('{\"nodes\": [[1]]}')", "wrote what is no answer"),
        ('print(\'{"nodes": [[3, "a", "", 0, 1, "", null]]}\')', "wrote what is no answer"),
        ("print('{}')", "wrote what is no answer"),
        ("print('[]', flush=True); time.sleep(600)", "wrote what is no answer"),
        ("sys.stdout.buffer.write(b'\\xff\\n')", "wrote what is no answer"),
        ("print('{\"unchanged\": 1}\\n' * 2)", "wrote what is no answer"),
        ("sys.stderr.write('x' * 1000000 + '\\nbad\\x1b\\n'); exit(3)", r"ended with code 3: bad\\x1b"),
    ],
)
async def test_whatever_the_process_does_is_one_error(tmp_path: Path, code: str, reason: str) -> None:
    """A crash, an exception, an end without an end, nonsense of every kind."""
    told = failed(await read(Job(str(tmp_path)), python(code)))
    assert told.startswith(f"{tmp_path}: the process that reads it ")
    assert reason.replace(r"\\", "\\") in told


async def test_a_process_that_hangs_is_ended(tmp_path: Path) -> None:
    """Bounded in time; nothing of it is left."""
    code = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    told = failed(await read(Job(str(tmp_path)), python(code), timeout_s=2))
    assert "did not end within 2 s" in told
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_a_process_that_never_stops_writing_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded in what is taken from it, by lines and altogether."""
    monkeypatch.setattr("ratelimit.sources.reader_process.ANSWER_BYTES_MAX", 1_000_000)
    endless = python("while True: print('{\"nodes\": []}' + ' ' * 1000)")
    assert "wrote what is no answer" in failed(await read(Job(str(tmp_path)), endless))
    monkeypatch.setattr("ratelimit.sources.reader_process.LINE_BYTES_MAX", 100_000)
    assert "wrote what is no answer" in failed(await read(Job(str(tmp_path)), python("while True: print(end='x')")))


async def test_a_process_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    """No exception of the operating system gets out."""
    assert "cannot be started" in failed(await read(Job(str(tmp_path)), (str(tmp_path / "no"),)))


async def test_a_process_needs_no_more_memory_than_it_may(tmp_path: Path) -> None:
    """The reader's own bound holds against what Python code takes."""
    code = "from ratelimit.sources import reader; reader.restrict(); x = bytearray(2 << 30)"
    assert "ended with code 1: MemoryError" in failed(await read(Job(str(tmp_path)), python(code)))


async def test_a_load_that_is_cancelled_ends_its_process(tmp_path: Path) -> None:
    """Whoever stops does not wait for YAML."""
    os.mkfifo(tmp_path / "started")
    code = f"open({str(tmp_path / 'started')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    reading = asyncio.ensure_future(read(Job(str(tmp_path)), python(code)))
    pid = int(await asyncio.to_thread((tmp_path / "started").read_text))
    reading.cancel()
    await asyncio.wait([reading], timeout=30)
    assert reading.cancelled()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


class Seen(Node):
    """A node that can be watched from afar."""


async def test_a_tree_is_released_one_piece_at_a_time() -> None:
    """Each turn of the loop frees one piece and nothing below it."""
    root, child, leaf = Seen("d"), Seen("a"), Seen("b")
    root.add(child)
    child.add(leaf)
    watched = [weakref.ref(node) for node in (root, child, leaf)]
    releasing = asyncio.ensure_future(release([[root], [child], [leaf]]))
    del root, child, leaf
    left = []
    while not releasing.done():
        await asyncio.sleep(0)
        left.append(sum(reference() is not None for reference in watched))
    assert left[:3] == [2, 1, 0]
