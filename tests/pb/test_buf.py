"""What `make check` says about the wire contract, tried on copies of protos/."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.pb.test_stubs import ROOT

RLS = "protos/envoy/service/ratelimit/v3/rls.proto"
NOBODY = ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder. Raises CalledProcessError."""
    subprocess.run(["git", *NOBODY, *arguments], cwd=folder, check=True, capture_output=True)


def check(folder: Path) -> tuple[int, str]:
    """The exit code of .ci/protos there, and what it prints."""
    # A hook of git, from which this suite may run, names its repository to every git below it.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    ran = subprocess.run([folder / ".ci" / "protos"], capture_output=True, text=True, check=False, env=environ)
    return ran.returncode, ran.stdout + ran.stderr


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """The project's protos and check, outside git."""
    for name in [
        ".ci/protos",
        *(str(path.relative_to(ROOT)) for path in (ROOT / "protos").rglob("*") if path.is_file()),
    ]:
        copy = tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".ci" / "protos").chmod(0o755)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.fixture
def clone(sources: Path) -> Path:
    """The same, committed."""
    git(sources, "init", "--quiet")
    git(sources, "add", "protos", ".ci")
    git(sources, "commit", "--quiet", "--message", "first")
    return sources


def edit(folder: Path, old: str, new: str) -> None:
    """Change rls.proto."""
    file = folder / RLS
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_committed_protos_pass(clone: Path) -> None:
    """Nothing is broken against what is committed, and it says what it compared with."""
    code, said = check(clone)
    assert code == 0, said
    assert "buf breaking, against" in said


def test_a_moved_field_is_refused(clone: Path) -> None:
    """A field's number is what Envoy sends: another one would read as nothing."""
    edit(clone, "hits_addend = 3", "hits_addend = 9")
    code, said = check(clone)
    assert code != 0
    assert "hits_addend" in said


def test_a_commit_does_not_hide_what_it_broke(clone: Path) -> None:
    """In CI the change is HEAD already, so the measure is older than that."""
    edit(clone, "hits_addend = 3", "hits_addend = 9")
    git(clone, "commit", "--quiet", "--all", "--message", "second")
    assert check(clone)[0] != 0


def test_a_release_is_the_measure(clone: Path) -> None:
    """What was changed on purpose and released is the contract from then on."""
    edit(clone, "hits_addend = 3", "hits_addend = 9")
    git(clone, "commit", "--quiet", "--all", "--message", "second")
    git(clone, "tag", "v1.0.0")
    code, said = check(clone)
    assert code == 0, said
    assert "against v1.0.0" in said


def test_a_shallow_clone_passes(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """It knows its HEAD only, and compares with that."""
    shallow = tmp_path_factory.mktemp("shallow")
    git(shallow, "clone", "--quiet", "--depth", "1", clone.as_uri(), "here")
    (shallow / "here" / ".venv").symlink_to(sys.prefix)
    assert check(shallow / "here")[0] == 0


def test_outside_git_it_says_that_it_compares_nothing(sources: Path) -> None:
    """An unpacked archive has no history; the lint still runs."""
    code, said = check(sources)
    assert code == 0, said
    assert "buf breaking left out" in said


def test_the_lint_is_not_a_formality(sources: Path) -> None:
    """A name that buf's rules forbid fails."""
    edit(sources, "hits_addend = 3", "hitsAddend = 3")
    code, said = check(sources)
    assert code != 0
    assert "lower_snake_case" in said


def test_generating_needs_nobody_else() -> None:
    """Every plugin is a program of this machine; none is fetched from a registry."""
    plugins = yaml.safe_load((ROOT / "protos" / "buf.gen.yaml").read_text())["plugins"]
    assert not [each for each in plugins if "remote" in each]
    assert "deps" not in yaml.safe_load((ROOT / "protos" / "buf.yaml").read_text())


@pytest.mark.parametrize(
    ("package", "stub", "made_by"),
    [
        ("protobuf", "rls_pb2.py", r"# Protobuf Python Version: ([\d.]+)"),
        ("grpcio", "rls_pb2_grpc.py", r"GRPC_GENERATED_VERSION = '([\d.]+)'"),
    ],
)
def test_no_older_library_than_the_stubs_take_is_allowed(package: str, stub: str, made_by: str) -> None:
    """Generated code refuses a library older than its generator, so the package must ask for that one at least."""
    text = (ROOT / "ratelimit/pb/envoy/service/ratelimit/v3" / stub).read_text()
    version = re.search(made_by, text)
    assert version is not None
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"{package}>={version[1]}" in wanted
