"""A watched configuration directory: whole snapshots in, the last good one stays.

RUNTIME_WATCH_ROOT=true watches for a swap of the root link itself, false for changes in the directory, as a ConfigMap
makes them. Either way the signal is only a hint: what counts is whether the files read differ from those loaded.
Reading and parsing run in a thread, off the event loop.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
import watchfiles

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.tree import Config
from ratelimit.descriptors.yaml_nodes import LoadLimits
from ratelimit.errors import ConfigError
from ratelimit.settings import ConfigSettings
from ratelimit.sources.files import read_directory

POLL_S = 1.0
DEBOUNCE_MS = 50

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Listener:
    """What happens with a load, on the event loop: `loaded` for a new configuration, `failed` for a broken one."""

    loaded: Callable[[Config], None]
    failed: Callable[[ConfigError], None]


class DirectorySource:
    """Loads a directory, and again whenever its files change."""

    def __init__(self, settings: ConfigSettings, listener: Listener) -> None:
        self._settings = settings
        self._listener = listener
        self.directory = config_directory(settings)
        self._seen: list[ConfigFile] | str | None = None
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load once, then watch. Raises ConfigError for a missing directory where RUNTIME_WATCH_ROOT is false."""
        if not self._settings.runtime_watch_root and not self.directory.is_dir():
            reason = "the directory does not exist (RUNTIME_ROOT, RUNTIME_SUBDIRECTORY, RUNTIME_APPDIRECTORY)"
            raise ConfigError(reason, file=str(self.directory))
        await self.refresh()
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """End the watch."""
        self._stop.set()
        if self._task is not None:
            await self._task

    async def refresh(self) -> None:
        """Load if the files are others than those seen last; the same broken file is reported once."""
        result = await asyncio.to_thread(self._load)
        if isinstance(result, Config):
            for warning in result.warnings:
                _log.warning("configuration", warning=warning)
            self._listener.loaded(result)
        elif result is not None:
            self._listener.failed(result)

    def _load(self) -> Config | ConfigError | None:
        settings = self._settings
        limits = LoadLimits(
            settings.config_file_bytes_max,
            settings.config_depth_max,
            settings.config_nodes_max,
            settings.config_aliases_max,
        )
        try:
            files = read_directory(
                self.directory,
                ignore_dot_files=settings.runtime_ignoredotfiles,
                file_bytes_max=settings.config_file_bytes_max,
            )
            if files == self._seen:
                return None
            self._seen = files
            return load_config(
                files, strict=settings.config_strict, merge_domains=settings.merge_domain_config, limits=limits
            )
        except ConfigError as error:
            if self._seen == str(error):
                return None
            if not isinstance(self._seen, list):
                self._seen = str(error)
            return error

    async def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                await self._watch_once()
            except (OSError, RuntimeError) as error:
                _log.warning("the configuration directory cannot be watched, it is polled", error=str(error))
                await self._pause()
            await self.refresh()

    async def _watch_once(self) -> None:
        """Follow one set of watched directories until one of them goes or the links lead elsewhere."""
        places = self._places()
        if not places:
            await self._pause()
            return
        changes = watchfiles.awatch(
            *places,
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=DEBOUNCE_MS // 5,
            stop_event=self._stop,
            rust_timeout=int(POLL_S * 1000),
            yield_on_timeout=True,
            recursive=True,
        )
        async for _ in changes:
            await self.refresh()
            if self._places() != places:
                return

    def _places(self) -> list[Path]:
        """The directories to watch: where the links of the path lead, and the folder that holds the root link."""
        found = [self.directory.resolve()]
        if self._settings.runtime_watch_root:
            found.append(Path(self._settings.runtime_root).absolute())
        return [place for place in found if place.is_dir()]

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_S):
                await self._stop.wait()
        except TimeoutError:
            pass


def config_directory(settings: ConfigSettings) -> Path:
    """`<RUNTIME_ROOT>/<RUNTIME_SUBDIRECTORY>/<RUNTIME_APPDIRECTORY>`; a relative root is taken from here."""
    return Path(settings.runtime_root, settings.runtime_subdirectory, settings.runtime_appdirectory).absolute()
