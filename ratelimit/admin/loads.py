"""The last loads of the configuration, as the page shows them: what came, or what was wrong with it and where."""

from collections import deque
from dataclasses import dataclass

from ratelimit.clock import Clock, SystemClock
from ratelimit.descriptors.tree import Config
from ratelimit.errors import ConfigError

LOADS_MAX = 20
WARNINGS_MAX = 20
TEXT_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Load:
    """One load: `error` is empty for one that is in force or was. `at` is in unix seconds, `line` 0 for no line."""

    at: float
    domains: int = 0
    limits: int = 0
    warnings: tuple[str, ...] = ()
    error: str = ""
    file: str = ""
    line: int = 0
    key_path: str = ""


class Loads:
    """The newest loads, the last one at the end; `count` is how many there were."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.last: deque[Load] = deque(maxlen=LOADS_MAX)
        self.count = 0

    def loaded(self, config: Config) -> None:
        """A configuration is in force."""
        warnings = tuple(warning[:TEXT_MAX] for warning in config.warnings[:WARNINGS_MAX])
        self._note(Load(self._clock.now(), len(config.domains), config.limits, warnings))

    def failed(self, error: ConfigError) -> None:
        """One could not be loaded; that before it stays."""
        reason, file, key_path = (text[:TEXT_MAX] for text in (error.reason, error.file, error.key_path))
        self._note(Load(self._clock.now(), error=reason, file=file, line=error.line or 0, key_path=key_path))

    def _note(self, load: Load) -> None:
        self.last.append(load)
        self.count += 1
