"""Which container this process runs in, as Datadog's agent is told: by its id, or by the inode of its control group."""

import re
from pathlib import Path

# The number of the host's own namespace of control groups (linux/proc_ns.h).
HOST_NAMESPACE = 0xEFFFFFFB
_ID = r"[0-9a-f]{64}|[0-9a-f]{32}-\d+|[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}"
_AT_THE_END = re.compile(rf"({_ID})(?:\.scope)?$", re.MULTILINE)
_MOUNTED = re.compile(rf"/(?!sandboxes/)[^\s/]+/(?:{_ID})/\S*hostname")


def container(process: Path = Path("/proc/self"), groups: Path = Path("/sys/fs/cgroup")) -> str:
    """The id, or `in-` and the inode; empty where this is no container. Never raises."""
    own = _text(process / "cgroup")
    if _inode(process / "ns" / "cgroup") == HOST_NAMESPACE:
        found = _AT_THE_END.search(own)
        return found[1] if found else ""
    if not _MOUNTED.search(_text(process / "mountinfo")):
        return ""
    paths = {controller: path for _, controller, path in (line.split(":", 2) for line in own.split() if ":" in line)}
    for controller in ("memory", ""):
        inode = _inode(groups / controller / paths[controller].lstrip("/")) if controller in paths else 0
        if inode:
            return f"in-{inode}"
    return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0
