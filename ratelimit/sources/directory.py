"""A watched configuration directory: whole configurations in, the last good one stays.

RUNTIME_WATCH_ROOT=true watches for a swap of the root link itself, false for changes in the directory, as a ConfigMap
makes them. Either way the signal is only a hint: what counts is whether the files differ from those seen last. Two
looks decide that. The cheap one, here, asks the kernel (`files.fingerprint`); only when it sees a change, a process is
started, which compares the contents and reads them (`reader_process`).
"""

import asyncio
import random
from pathlib import Path

import structlog
import watchfiles
from watchfiles._rust_notify import WatchfilesRustInternalError

from ratelimit.descriptors.tree import Config, Node
from ratelimit.descriptors.yaml_composer import LoadLimits
from ratelimit.errors import ConfigError
from ratelimit.lifetime import end_tasks
from ratelimit.settings import ConfigSettings
from ratelimit.sources.files import Fingerprint, fingerprint, legible
from ratelimit.sources.handover import Job
from ratelimit.sources.reader_process import read, release
from ratelimit.sources.source import Listener

POLL_S = 1.0
DEBOUNCE_MS = 50
RETRY_S_MAX = 60.0

_log = structlog.get_logger(__name__)


class DirectorySource:
    """Loads a directory, and again whenever its files change: a `Source`."""

    def __init__(self, settings: ConfigSettings, listener: Listener) -> None:
        self._settings = settings
        self._listener = listener
        self.directory = config_directory(settings)
        # What was loaded or found broken last, by the kernel's look and by contents; None and "" ask for a new try.
        self._settled: Fingerprint | None = None
        self._digest = ""
        self._broken: ConfigError | None = None
        # The error that was told last, as long as it holds.
        self._failing = ""
        self._pieces: list[list[Node]] = []
        self._retry = _Retry()
        self._refreshing = asyncio.Lock()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load once, then watch. Raises ConfigError for a missing directory where RUNTIME_WATCH_ROOT is false."""
        if not self._settings.runtime_watch_root and not self.directory.is_dir():
            reason = "the directory does not exist (RUNTIME_ROOT, RUNTIME_SUBDIRECTORY, RUNTIME_APPDIRECTORY)"
            raise ConfigError(reason, file=legible(self.directory))
        await self.refresh()
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """End the watch, and a load that runs."""
        self._stop.set()
        await end_tasks(self._task)

    async def refresh(self) -> None:
        """Load if the files are others than those seen last; the same broken file is reported once.

        Raises nothing: whatever happens is told to the listener or logged, and tried again later.
        """
        async with self._refreshing:
            try:
                await self._refresh()
            except Exception:  # noqa: BLE001 - one bad load, for a reason nobody thought of, must not end the watch
                self._retry.later()
                _log.exception("the configuration could not be loaded, it is tried again", directory=self._shown)

    async def _refresh(self) -> None:
        try:
            found = await asyncio.to_thread(
                fingerprint, self.directory, ignore_dot_files=self._settings.runtime_ignoredotfiles
            )
        except ConfigError as error:
            self._settled = None
            self._failed(error)
            return
        if found != self._settled and not self._retry.too_early(found):
            await self._read(found)

    async def _read(self, found: Fingerprint) -> None:
        answer = await read(self._job())
        if answer.error is not None:
            self._failed(answer.error)
            if answer.digest:
                self._settle(found, answer.digest, answer.error)
            else:
                self._retry.later()
        elif answer.config is not None:
            # Before the listener is told: if it raises, the next try must not find the files unchanged.
            self._settled, self._digest = None, ""
            old, self._pieces = self._pieces, answer.pieces
            self._loaded(answer.config)
            self._settle(found, answer.digest)
            answer.config = None
            await release(old)
        else:
            if self._broken is not None:
                self._failed(self._broken)
            elif self._failing:
                self._failing = ""
                _log.warning("the configuration can be read again, and is unchanged", directory=self._shown)
            self._settle(found, self._digest, self._broken)

    def _settle(self, found: Fingerprint, digest: str, broken: ConfigError | None = None) -> None:
        self._settled, self._digest, self._broken = found, digest, broken
        self._retry.reset()

    def _loaded(self, config: Config) -> None:
        for warning in config.warnings:
            _log.warning("configuration", warning=warning)
        self._listener.loaded(config)
        self._failing = ""

    def _failed(self, error: ConfigError) -> None:
        if self._failing != str(error):
            self._listener.failed(error)
            self._failing = str(error)

    def _job(self) -> Job:
        settings = self._settings
        return Job(
            str(self.directory),
            settings.runtime_ignoredotfiles,
            settings.config_strict,
            settings.merge_domain_config,
            self._digest,
            load_limits(settings),
        )

    @property
    def _shown(self) -> str:
        return legible(self.directory)

    async def _watch(self) -> None:
        unwatchable = ""
        while not self._stop.is_set():
            try:
                await self._watch_once()
                unwatchable = ""
            except Exception as error:  # noqa: BLE001 - no inotify, no thread, whatever: polling goes on
                reason = _why_unwatchable(error)
                if unwatchable != (reason or repr(error)):
                    unwatchable = reason or repr(error)
                    told = {"reason": reason} if reason else {"exc_info": True}
                    _log.warning("the configuration directory cannot be watched, it is polled", **told)
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


def _why_unwatchable(error: Exception) -> str:
    """What the kernel or watchfiles has against a directory, a name that is not UTF-8 above all; empty for a fault."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        (error,) = error.exceptions
    return legible(error) if isinstance(error, OSError | WatchfilesRustInternalError) else ""


class _Retry:
    """When to try again what failed for another reason than the files: ever later, at random, at once for new files."""

    def __init__(self) -> None:
        self._tries = 0
        self._at = 0.0
        self._tried: Fingerprint | None = None

    def too_early(self, found: Fingerprint) -> bool:
        """Whether these files failed a moment ago. Remembers them otherwise, since they are tried now."""
        if found == self._tried and asyncio.get_running_loop().time() < self._at:
            return True
        self._tried = found
        return False

    def later(self) -> None:
        """The try failed."""
        most = min(RETRY_S_MAX, POLL_S * 2**self._tries)
        self._tries = min(self._tries + 1, 10)
        self._at = asyncio.get_running_loop().time() + most * random.uniform(0.5, 1.0)  # noqa: S311 - only spreads

    def reset(self) -> None:
        """The try succeeded."""
        self._tries, self._at, self._tried = 0, 0.0, None


def load_limits(settings: ConfigSettings) -> LoadLimits:
    """The bounds of one file, as the settings have them."""
    return LoadLimits(
        settings.config_file_bytes_max,
        settings.config_depth_max,
        settings.config_nodes_max,
        settings.config_aliases_max,
    )


def config_directory(settings: ConfigSettings) -> Path:
    """`<RUNTIME_ROOT>/<RUNTIME_SUBDIRECTORY>/<RUNTIME_APPDIRECTORY>`; a relative root is taken from here."""
    return Path(settings.runtime_root, settings.runtime_subdirectory, settings.runtime_appdirectory).absolute()
