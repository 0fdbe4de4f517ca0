import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
import structlog
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.demo.processes import config_map
from ratelimit.descriptors.tree import Config
from ratelimit.errors import ConfigError
from ratelimit.settings import ConfigSettings
from ratelimit.sources import directory
from ratelimit.sources.directory import DirectorySource
from ratelimit.sources.reader_process import read
from ratelimit.sources.source import Listener
from tests.descriptors.texts import contents, names


class Watched:
    """A source and what it told."""

    def __init__(self, root: Path, **settings: object) -> None:
        self.told: asyncio.Queue[Config | ConfigError] = asyncio.Queue()
        values = {"runtime_root": str(root), "runtime_ignoredotfiles": True, **settings}
        self.source = DirectorySource(
            ConfigSettings.model_validate(values), Listener(self.told.put_nowait, self.told.put_nowait)
        )

    async def next(self) -> Config | ConfigError:
        """What is told next."""
        return await asyncio.wait_for(self.told.get(), 30)

    async def domains(self) -> list[str]:
        """The domains of the next load, which must be good."""
        config = await self.next()
        assert isinstance(config, Config)
        return list(config.domains)


@pytest_asyncio.fixture
async def mounted(tmp_path: Path) -> AsyncIterator[Watched]:
    """A ConfigMap that is watched, loaded once."""
    watched = Watched(config_map(tmp_path, "domain: one"), runtime_watch_root=False)
    await watched.source.start()
    assert await watched.domains() == ["one"]
    yield watched
    await watched.source.close()


async def test_a_config_map_swap_is_loaded(mounted: Watched, tmp_path: Path) -> None:
    """The rename of ..data is seen, again and again."""
    for number in ("2", "3"):
        config_map(tmp_path, f"domain: number{number}", number)
        assert await mounted.domains() == [f"number{number}"]


async def test_a_broken_file_is_told_once_and_mended(mounted: Watched, tmp_path: Path) -> None:
    """file, line and key path; then the next good one is loaded."""
    config_map(tmp_path, "domain: d\nnonsense: 1", "2")
    error = await mounted.next()
    assert isinstance(error, ConfigError)
    assert (error.file, error.line, error.key_path) == ("config.yaml", 2, "nonsense")
    await mounted.source.refresh()
    config_map(tmp_path, "domain: mended", "3")
    assert await mounted.domains() == ["mended"]


async def test_files_that_come_change_and_go(tmp_path: Path) -> None:
    """Create, rewrite and delete all reload; the same bytes do not."""
    (tmp_path / "config").mkdir()
    watched = Watched(tmp_path)
    await watched.source.start()
    assert await watched.domains() == []
    file = tmp_path / "config" / "a.yaml"
    for text, domains in (("domain: a", ["a"]), ("domain: b", ["b"])):
        file.write_text(text)
        config = await watched.next()
        while not (isinstance(config, Config) and list(config.domains) == domains):  # an empty file is seen at times
            config = await watched.next()
    await watched.source.refresh()
    assert watched.told.empty()
    file.unlink()
    assert await watched.domains() == []
    await watched.source.close()


async def test_the_root_link_may_be_swapped(tmp_path: Path) -> None:
    """RUNTIME_WATCH_ROOT=true: the whole tree is exchanged by one rename."""
    for name in ("one", "two"):
        (tmp_path / name / "config").mkdir(parents=True)
        (tmp_path / name / "config" / "c.yaml").write_text(f"domain: {name}")
    (tmp_path / "current").symlink_to("one")
    watched = Watched(tmp_path / "current")
    await watched.source.start()
    assert await watched.domains() == ["one"]
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "current")
    assert await watched.domains() == ["two"]
    await watched.source.close()


async def test_a_missing_directory(tmp_path: Path) -> None:
    """It ends the start with RUNTIME_WATCH_ROOT=false; otherwise it is told, and loaded when it comes."""
    with pytest.raises(ConfigError, match="RUNTIME_ROOT"):
        await Watched(tmp_path, runtime_watch_root=False).source.start()
    watched = Watched(tmp_path / "later")
    await watched.source.start()
    assert isinstance(await watched.next(), ConfigError)
    config_map(tmp_path / "later", "domain: late")
    config = await watched.next()
    while not (isinstance(config, Config) and config.domains):  # the directory is seen while it is being filled
        config = await watched.next()
    assert list(config.domains) == ["late"]
    await watched.source.close()


async def test_lenient_warnings_do_not_stop_a_load(tmp_path: Path) -> None:
    """CONFIG_STRICT=false logs what it lets pass."""
    watched = Watched(config_map(tmp_path, "domain: a\ndomain: b"), config_strict=False)
    await watched.source.start()
    assert await watched.domains() == ["b"]
    await watched.source.close()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A line for each process that is started."""
    started: list[str] = []

    def counted(job: object) -> object:
        started.append("read")
        return read(job)

    monkeypatch.setattr(directory, "read", counted)
    return started


async def test_no_process_is_started_while_nothing_changes(mounted: Watched, reads: list[str], tmp_path: Path) -> None:
    """Looking costs a stat; a touched file costs a process that finds the contents unchanged."""
    await mounted.source.refresh()
    assert not reads
    os.utime(tmp_path / "config" / "..data" / "config.yaml")
    await mounted.source.refresh()
    assert reads
    assert mounted.told.empty()


async def test_a_listener_that_raises_is_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exception is logged with the traceback and ends nothing; the same files are loaded again a little later."""
    monkeypatch.setattr(directory, "POLL_S", 0.01)
    watched = Watched(config_map(tmp_path, "domain: d"))
    heard = iter((ZeroDivisionError(), ExceptionGroup("several", [KeyError()])))

    def loaded(config: Config) -> None:
        for error in heard:
            raise error
        watched.told.put_nowait(config)

    watched.source._listener = Listener(loaded, watched.told.put_nowait)
    with structlog.testing.capture_logs() as logs:
        await watched.source.start()
        assert await watched.domains() == ["d"]
    assert [log["log_level"] for log in logs if log.get("exc_info")] == ["error", "error"]
    await watched.source.close()


@pytest.mark.parametrize(
    "error", [OSError(24, "no watches left"), ZeroDivisionError(), ExceptionGroup("", [KeyError()])]
)
async def test_what_cannot_be_watched_is_polled(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told once, a fault of ours with its traceback; changes are found all the same."""
    monkeypatch.setattr(directory, "POLL_S", 0.01)

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("watchfiles.awatch", refuse)
    watched = Watched(config_map(tmp_path, "domain: one"))
    with structlog.testing.capture_logs() as logs:
        await watched.source.start()
        for number in ("2", "3"):
            config_map(tmp_path, f"domain: d{number}", number)
        while await watched.domains() != ["d3"]:
            pass
    assert sum("polled" in log["event"] for log in logs) == 1
    await watched.source.close()


async def test_a_name_that_cannot_be_watched_is_one_line(tmp_path: Path) -> None:
    """A file whose name is not UTF-8 comes: the watch says why it polls, without a traceback."""
    name = os.fsencode(tmp_path / "config") + b"/bad\xff.yaml"
    watched = Watched(config_map(tmp_path, "domain: one"))
    with structlog.testing.capture_logs() as logs:
        await watched.source.start()
        async with asyncio.timeout(30):
            while not any("polled" in log["event"] for log in logs):  # the watch may begin after a change
                Path(os.fsdecode(name)).write_text("domain: two")
                await asyncio.sleep(0.1)
            while "two" not in await watched.domains():
                pass
    (told,) = [log for log in logs if "polled" in log["event"]]
    assert "bad" in told["reason"]
    assert "exc_info" not in told
    await watched.source.close()


async def test_a_process_that_fails_is_told_once_and_tried_later(mounted: Watched, tmp_path: Path) -> None:
    """Ever later while the files stay; at once for new ones."""
    crash = partial(read, command=(sys.executable, "-c", "exit(7)"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(directory, "read", crash)
        patched.setattr(directory, "POLL_S", 1000)
        config_map(tmp_path, "domain: two", "2")
        error = await mounted.next()
        for _ in range(3):
            await mounted.source.refresh()
    assert "ended with code 7" in str(error)
    assert mounted.told.empty()
    config_map(tmp_path, "domain: three", "3")
    assert await mounted.domains() == ["three"]


async def test_a_missing_directory_is_one_line_and_its_return_another(mounted: Watched, tmp_path: Path) -> None:
    """One error, however often it is looked for; a warning ends it, for those who read the default level."""
    with structlog.testing.capture_logs() as logs:
        (tmp_path / "config").rename(tmp_path / "away")
        assert isinstance(await mounted.next(), ConfigError)
        for _ in range(5):
            await mounted.source.refresh()
        (tmp_path / "away").rename(tmp_path / "config")
        await mounted.source.refresh()
    assert mounted.told.empty()
    assert [log["event"] for log in logs] == ["the configuration can be read again, and is unchanged"]
    assert logs[0]["log_level"] == "warning"


async def test_a_broken_file_stays_broken_until_it_is_mended(mounted: Watched, tmp_path: Path) -> None:
    """Touched, it is not told again; after another failure it is, since the log's last line must be true."""
    config_map(tmp_path, "domain: 1.5", "2")
    assert "1.5" in str(await mounted.next())
    with structlog.testing.capture_logs() as logs:
        os.utime(tmp_path / "config" / "..data" / "config.yaml")
        await mounted.source.refresh()
        assert mounted.told.empty()
        (tmp_path / "config").rename(tmp_path / "away")
        assert "does not exist" in str(await mounted.next())
        (tmp_path / "away").rename(tmp_path / "config")
        assert "1.5" in str(await mounted.next())
    assert not logs


async def test_closing_ends_a_load_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is gone, and nothing more is told."""
    config_map(tmp_path, "domain: d")
    watched = Watched(tmp_path)
    await watched.source.start()
    assert await watched.domains() == ["d"]
    os.mkfifo(tmp_path / "started")
    code = f"import os, time; open({str(tmp_path / 'started')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    monkeypatch.setattr(directory, "read", partial(read, command=(sys.executable, "-c", code)))
    config_map(tmp_path, "domain: e", "2")
    pid = int(await asyncio.to_thread((tmp_path / "started").read_text))
    await asyncio.wait_for(watched.source.close(), 30)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert watched.told.empty()


async def test_a_file_name_that_is_not_text_loads_and_is_shown_escaped(tmp_path: Path) -> None:
    """As a file of the configuration, and in an error."""
    (tmp_path / "config").mkdir()
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/config/\xff\n.yaml"))
    file.write_text("domain: d")
    watched = Watched(tmp_path)
    await watched.source.start()
    assert await watched.domains() == ["d"]
    file.write_text("domain: d\nx: 1")
    assert str(await watched.next()) == r"\xff\n.yaml:2: x: config error, unknown key 'x'"
    await watched.source.close()


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(names, contents), min_size=1, max_size=3))
def test_no_file_ends_the_watch(written: list[tuple[bytes, bytes]]) -> None:
    """Any bytes under any names: loaded or told, the configuration before stays, and the next good one loads."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, tempfile.TemporaryDirectory() as folder:
        runner.run(survives(Path(folder), written))


async def survives(folder: Path, written: list[tuple[bytes, bytes]]) -> None:
    """Write the files, then a good one alone."""
    watched = Watched(folder, runtime_appdirectory="", runtime_ignoredotfiles=False)
    await watched.source.refresh()
    assert await watched.domains() == []
    for name, text in written:
        Path(folder, os.fsdecode(name)).write_bytes(text)
    await watched.source.refresh()
    outcome = await watched.next()
    str(outcome.warnings if isinstance(outcome, Config) else outcome).encode()
    for name, _ in written:
        Path(folder, os.fsdecode(name)).unlink(missing_ok=True)
    (folder / "good.yaml").write_text("domain: good")
    await watched.source.refresh()
    assert await watched.domains() == ["good"]
