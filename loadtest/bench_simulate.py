"""`make bench-simulate`: how many lines a second `ratelimit simulate` replays on one core. LINES sizes the logs.

Each case is the whole command in a process of its own, its start and report included, and the lines are divided by the
CPU time that the process took, so that a busy machine changes less. The target: 200,000 for one descriptor a line.
"""

import gzip
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.access_log import Traffic, write_csv, write_json
from loadtest.sizes import number_of

ROOT = Path(__file__).parents[1]
TARGET = 200_000
EXAMPLE = ("--domain", "catalog-ratelimit", "--descriptor", "header_match=%x-loyalty%_request|no_loyalty")
USERS = ("--domain", "catalog-ratelimit", "--descriptor", "user=%user%")


@dataclass(frozen=True, slots=True)
class Case:
    """One log and how it is replayed."""

    name: str
    log: str
    options: Sequence[str] = ()


CASES = (
    Case("JSON, one descriptor a line", "log.json", EXAMPLE),
    Case("the same, packed by gzip", "log.json.gz", EXAMPLE),
    Case("the same, 1 line a second", "slow.json", EXAMPLE),
    Case("CSV of descriptors", "log.csv"),
    Case("two descriptors a line", "log.json", (*EXAMPLE, "--descriptor", "path=%path%")),
    Case("two configurations", "log.json", (*EXAMPLE, "--against", "config")),
    Case("each second line another user", "users.json", USERS),
)


def write_logs(folder: Path, lines: int) -> None:
    """The logs of all cases."""
    write_json(folder / "log.json", Traffic(lines))
    # In pieces: the memory of this process at its largest would be told as that of the commands it starts.
    with (folder / "log.json").open("rb") as plain, gzip.open(folder / "log.json.gz", "wb", 6) as packed:
        shutil.copyfileobj(plain, packed)
    write_csv(folder / "log.csv", Traffic(lines))
    write_json(folder / "slow.json", Traffic(lines, per_second=1))
    write_json(folder / "users.json", Traffic(lines, users=10**9))


def cpu_s(case: Case, folder: Path) -> float:
    """The CPU seconds of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "ratelimit", "simulate", "config", str(folder / case.log), *case.options]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Run all cases; print the table. The largest process is told at the end."""
    try:
        lines = number_of("LINES", 1_000_000, 1_000)
    except ValueError as error:
        sys.exit(f"bench-simulate: {error}")
    with tempfile.TemporaryDirectory() as name:
        write_logs(Path(name), lines)
        print(f"{lines:,} lines a log; CPU time of the whole command; the target is {TARGET:,} lines a second")
        print(f"{'case':<34}{'CPU s':>8}{'lines/s':>12}")
        for case in CASES:
            seconds = cpu_s(case, Path(name))
            print(f"{case.name:<34}{seconds:>8.2f}{lines / seconds:>12,.0f}")
    print(f"largest process: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
