"""How many cores this process may use: those of its affinity, or fewer where a cgroup's quota says so."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def usable_cores(root: Path = _ROOT) -> int:
    """At least 1. A part of a core is left out: a worker on it would be stopped by the quota again and again."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min([cores, *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """The quota of each cgroup that this process is in, in cores, up to the root of what is mounted."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            for folder in _upwards(root / "sys/fs/cgroup", path):
                yield from _ratio(_text(folder / "cpu.max").split())
        elif "cpu" in controllers.split(","):
            for folder in _upwards(root / "sys/fs/cgroup/cpu", path):
                quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
                yield from _ratio([*quota.split(), *period.split()])


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """The folder of a cgroup and of those above it. In a container the path may lie outside of what is mounted."""
    parts = [part for part in path.split("/") if part not in {"", ".."}]
    for length in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:length])


def _ratio(words: list[str]) -> Iterator[float]:
    """Cores of `quota period`; nothing for `max`, for -1 and for what is not there."""
    if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]) > 0:
        yield int(words[0]) / int(words[1])


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
