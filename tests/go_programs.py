"""Programs that are written in Go, each built once from the module proxy into build/; nothing of them is kept here.

`make tools` builds those that the tests of deploy/ run: helm, kustomize and promtool. A version is part of the file's
name, so a new one is built beside the old.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "build" / "tools"
BUILD_S_MAX = 1800


@dataclass(frozen=True, slots=True)
class Program:
    """A program: its package, the versions of the modules it comes from, and the tags it is built with."""

    name: str
    package: str
    modules: Sequence[str]
    tags: str = ""

    @property
    def version(self) -> str:
        """That of the program's own module, `vX.Y.Z`."""
        return self.modules[0].rpartition("@")[2]

    @property
    def file(self) -> Path:
        """Where it is built to."""
        return BUILT / f"{self.name}-{self.version}"


TOOLS = (
    Program("helm", "helm.sh/helm/v3/cmd/helm", ("helm.sh/helm/v3@v3.22.0",)),
    # Later ones need a later Go than most machines have.
    Program("kustomize", "sigs.k8s.io/kustomize/kustomize/v5", ("sigs.k8s.io/kustomize/kustomize/v5@v5.8.1",)),
    # Without the clients of two dozen clouds, which only scraping wants, it is built in a third of the time.
    Program(
        "promtool",
        "github.com/prometheus/prometheus/cmd/promtool",
        ("github.com/prometheus/prometheus@v0.316.0",),
        "remove_all_sd",
    ),
)


def found(name: str) -> Path | None:
    """One of TOOLS, as `make tools` built it, if it did."""
    (program,) = (each for each in TOOLS if each.name == name)
    return program.file if program.file.exists() else None


def build(go: str, program: Program) -> None:
    """Build it if it is not there yet, in a module of its own. Raises CalledProcessError or TimeoutExpired."""
    if program.file.exists():
        return
    say(f"building {program.package} {program.version}")
    program.file.parent.mkdir(parents=True, exist_ok=True)
    # Others may build the same beside us, or be cut short: what has the name is whole.
    with tempfile.TemporaryDirectory(dir=program.file.parent, prefix=".building-") as folder:
        made = Path(folder) / program.name
        steps = (
            ("mod", "init", "built"),
            ("get", *program.modules, f"{program.package}@{program.version}"),
            ("build", "-ldflags=-s -w", f"-tags={program.tags}", "-o", str(made), program.package),
        )
        for step in steps:
            subprocess.run((go, *step), cwd=folder, check=True, capture_output=True, text=True, timeout=BUILD_S_MAX)
        made.replace(program.file)


def build_all(programs: Sequence[Program], command: str) -> int:
    """Build what is missing for `command`; the exit status: 0, 1 with what Go said, 2 where there is no Go."""
    go = shutil.which("go")
    if go is None:
        sys.stderr.write(f"{command} builds programs that are written in Go: there is no `go` on the PATH\n")
        return 2
    try:
        for program in programs:
            build(go, program)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{command}: {' '.join(error.cmd)} failed:\n{error.stderr}")
        return 1
    return 0


def say(line: str) -> None:
    """Tell whoever waits."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(build_all(TOOLS, "make tools"))
