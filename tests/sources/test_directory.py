import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.demo.processes import config_map
from ratelimit.descriptors.tree import Config
from ratelimit.errors import ConfigError
from ratelimit.settings import ConfigSettings
from ratelimit.sources.directory import DirectorySource
from ratelimit.sources.source import Listener


class Watched:
    """A source and what it told."""

    def __init__(self, root: Path, **settings: object) -> None:
        self.told: asyncio.Queue[Config | ConfigError] = asyncio.Queue()
        given = {"runtime_root": str(root), "runtime_ignoredotfiles": True, **settings}
        self.source = DirectorySource(
            ConfigSettings.model_validate(given), Listener(self.told.put_nowait, self.told.put_nowait)
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
