"""What comes as a Go module, each made once from the module proxy into build/; nothing of it is kept here.

`make tools` brings what the tests of deploy/ need: helm, kustomize, promtool, and Istio's schemas. A version is part of
the file's name, so a new one is made beside the old.
"""

import json
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

    def make(self, go: str, made: Path) -> None:
        """Build it in a module of its own, beside `made`. Raises CalledProcessError or TimeoutExpired."""
        for step in (
            ("mod", "init", "built"),
            ("get", *self.modules, f"{self.package}@{self.version}"),
            ("build", "-ldflags=-s -w", f"-tags={self.tags}", "-o", str(made), self.package),
        ):
            _run(go, made.parent, *step)


@dataclass(frozen=True, slots=True)
class Shipped:
    """A file that a module has: its path there."""

    name: str
    package: str
    version: str
    path: str

    @property
    def file(self) -> Path:
        """Where it is copied to."""
        return BUILT / f"{self.name}-{self.version}"

    def make(self, go: str, made: Path) -> None:
        """Fetch the module and copy the file. Raises CalledProcessError or TimeoutExpired."""
        told = _run(go, made.parent, "mod", "download", "-json", f"{self.package}@{self.version}")
        shutil.copyfile(Path(json.loads(told)["Dir"]) / self.path, made)


TOOLS: Sequence[Program | Shipped] = (
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
    # Of every resource of Istio's, as the API server has them.
    Shipped("istio_crds", "istio.io/api", "v1.32.0", "kubernetes/customresourcedefinitions.gen.yaml"),
)


def found(name: str) -> Path | None:
    """One of TOOLS, as `make tools` built it, if it did."""
    (program,) = (each for each in TOOLS if each.name == name)
    return program.file if program.file.exists() else None


def build(go: str, program: Program | Shipped) -> None:
    """Make it if it is not there yet. Raises CalledProcessError or TimeoutExpired."""
    if program.file.exists():
        return
    say(f"making {program.name} of {program.package} {program.version}")
    program.file.parent.mkdir(parents=True, exist_ok=True)
    # Others may build the same beside us, or be cut short: what has the name is whole.
    with tempfile.TemporaryDirectory(dir=program.file.parent, prefix=".building-") as folder:
        made = Path(folder) / program.name
        program.make(go, made)
        made.replace(program.file)


def build_all(programs: Sequence[Program | Shipped], command: str) -> int:
    """Build what is missing for `command`; the exit status: 0, 1 with what Go said, 2 where there is no Go."""
    go = shutil.which("go")
    if go is None:
        sys.stderr.write(f"{command} builds programs that are written in Go: there is no `go` on the PATH\n")
        return 2
    try:
        for program in programs:
            build(go, program)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{command}: {' '.join(error.cmd)} failed:\n{error.stderr or error.stdout}")
        return 1
    return 0


def say(line: str) -> None:
    """Tell whoever waits."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _run(go: str, folder: Path, *step: str) -> str:
    ended = subprocess.run((go, *step), cwd=folder, check=True, capture_output=True, text=True, timeout=BUILD_S_MAX)
    return ended.stdout


if __name__ == "__main__":
    sys.exit(build_all(TOOLS, "make tools"))
