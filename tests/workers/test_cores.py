import os
from pathlib import Path

import pytest

from ratelimit.workers.cores import usable_cores


def machine(root: Path, cgroup: str, **files: str) -> Path:
    """A root with the files that the kernel shows."""
    written = {"proc/self/cgroup": cgroup, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()}}
    for name, text in written.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The affinity of these tests."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("cgroup", "files", "cores"),
    [
        ("", {}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, 8),
        ("0::/a/b\n", {"cpu.max": "max 100000\n", "a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/../outside\n", {"cpu.max": "200000 100000\n"}, 2),
        ("1:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("4:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "200000", "cpu/x/cpu.cfs_period_us": "100000"}, 2),
        ("4:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, 8),
        ("nonsense\n0::/\n", {"cpu.max": "1 2 3\n"}, 8),
        ("0::/\n", {"cpu.max": "100 0\n"}, 8),
    ],
)
def test_the_tightest_bound_counts(tmp_path: Path, cgroup: str, files: dict[str, str], cores: int) -> None:
    """Affinity, or the quota of any cgroup above, of both versions; a part of a core is none, but there is always 1."""
    assert usable_cores(machine(tmp_path, cgroup, **files)) == cores


def test_this_machine_has_a_core() -> None:
    """Whatever its kernel shows."""
    assert usable_cores() >= 1


def test_a_system_without_affinity_counts_its_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MacOS."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert usable_cores(tmp_path) == 3
