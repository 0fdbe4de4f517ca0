"""What a clone gives to those who package it, work on it or run its CI."""

import re
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ratelimit.__main__ import main

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from the files that git knows."""
    folder = tmp_path_factory.mktemp("wheel")
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        if (ROOT / name).is_file():
            copy = folder / "source" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((ROOT / name).read_bytes())
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(folder / "source")]
    subprocess.run(command, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    """What a registry shows of it."""
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return message_from_bytes(wheel.read(name))


def test_the_wheel_holds_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    """Modules, scripts, the page, the mark of a typed package, stubs with their types; nothing of tests or deploy."""
    suffixes = {".py", ".pyi", ".lua", ".typed", ".html", ".js", ".css", ".svg"}
    package = ROOT / "ratelimit"
    wanted = {path.relative_to(ROOT).as_posix() for path in package.rglob("*") if path.suffix in suffixes}
    assert {"ratelimit/py.typed", "ratelimit/stores/lua/add_hits.lua"} <= wanted
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == wanted


def test_the_wheel_says_its_licence(wheel: zipfile.ZipFile, metadata: Message) -> None:
    """The expression, and the text itself."""
    assert metadata["License-Expression"] == "Apache-2.0"
    (text,) = [name for name in wheel.namelist() if name.endswith("licenses/LICENSE")]
    assert b"Copyright 2026 The envoy-ratelimit authors" in wheel.read(text)


def test_tools_of_the_workshop_are_not_published(metadata: Message) -> None:
    """Who installs the service gets neither linters nor test libraries offered."""
    assert metadata.get_all("Provides-Extra") is None
    assert not [each for each in metadata.get_all("Requires-Dist", []) if "pytest" in each]


def pins() -> set[str]:
    """The names in constraints.txt, as PyPI compares them."""
    return {canonicalize_name(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().split()}


def test_every_development_tool_is_pinned() -> None:
    """A fresh clone gets the versions that CI passed with."""
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"], "pip", "setuptools"]
    assert {canonicalize_name(re.split(r"[<>=]", each)[0]) for each in asked} <= pins()


@pytest.mark.parametrize("python", ["3.11.2", "3.12.0", "3.13.0", "3.14.0"])
def test_what_another_python_needs_is_pinned_too(python: str) -> None:
    """Debian 12 has 3.11.2, for which redis needs one package more than for 3.11.3."""
    at = {"python_full_version": python, "python_version": python.rpartition(".")[0], "extra": ""}
    pinned = pins()
    needs = [
        Requirement(text)
        for each in distributions()
        if canonicalize_name(each.name) in pinned
        for text in each.requires or ()
    ]
    wanted = {canonicalize_name(need.name) for need in needs if need.marker is None or need.marker.evaluate(at)}
    assert wanted - pinned == set()


def test_the_example_workflow_runs_what_is_here() -> None:
    """It is YAML, covers each Python that the package claims, and runs .ci/run."""
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["test"]
    claimed = [
        each.rsplit(" ", 1)[1]
        for each in PROJECT["project"]["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", each)
    ]
    assert job["strategy"]["matrix"]["python"] == claimed
    assert ".ci/run" in [step.get("run") for step in job["steps"]]


def test_the_pre_commit_hooks_are_programs_of_the_clone() -> None:
    """The file is valid, fetches nothing, and names programs that `make setup` brings."""
    file = ROOT / ".pre-commit-config.yaml"
    subprocess.run([Path(sys.executable).parent / "pre-commit", "validate-config", file], check=True)
    (hooks,) = [repo["hooks"] for repo in yaml.safe_load(file.read_text())["repos"] if repo["repo"] == "local"]
    programs = [hook["entry"].split()[0] for hook in hooks if hook["language"] == "system"]
    assert len(programs) == len(hooks)
    assert all((ROOT / program).exists() for program in programs)


def test_the_hook_for_other_repositories_is_a_command_of_ours() -> None:
    """The file is valid, and its entry is the console script with one of its commands."""
    file = ROOT / ".pre-commit-hooks.yaml"
    subprocess.run([Path(sys.executable).parent / "pre-commit", "validate-manifest", file], check=True)
    (hook,) = yaml.safe_load(file.read_text())
    program, command = hook["entry"].split()
    assert program in PROJECT["project"]["scripts"]
    assert main([command, str(ROOT / "config")]) == 0


LEAKS = {
    "a coroutine that nobody awaits": "async def test_it(): asyncio.sleep(0)",
    "a socket that nobody closes": "def test_it(): socket.socket()",
    "a file that nobody closes": "def test_it(): open(__file__)",
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_what_a_test_leaks_is_an_error(tmp_path: Path, leak: str) -> None:
    """With our settings pytest fails such a test, whatever it asserts."""
    (tmp_path / "test_leak.py").write_text(f"import asyncio, gc, socket\n{leak}\ndef test_after(): gc.collect()\n")
    options = ["-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stdout
    assert "Exception ignored in" in ran.stdout
