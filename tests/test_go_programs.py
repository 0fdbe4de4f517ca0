import os
import subprocess
from pathlib import Path

import pytest

from tests import go_programs
from tests.go_programs import TOOLS, Program, Shipped, build_all, found

ROOT = Path(__file__).parents[1]
# Stands for Go: it notes what it is asked for, and writes the program where it is told to.
GO = """#!/bin/sh
echo "$@" >> "$GO_NOTES"
[ "$1" = "$GO_FAILS_AT" ] && { echo "no such module" >&2; exit 1; }
[ "$2" = download ] && echo "{\\"Dir\\": \\"$GO_MODULE\\"}"
while [ $# -gt 0 ]; do [ "$1" = -o ] && echo built > "$2"; shift; done
exit 0
"""
PROGRAM = Program("tool", "example.com/tool/cmd/tool", ("example.com/tool@v1.2.3", "example.com/other@v4.5.6"), "small")


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What our `go` was asked for; programs are built below `tmp_path`."""
    program = tmp_path / "bin" / "go"
    program.parent.mkdir()
    program.write_text(GO)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GO_NOTES", str(tmp_path / "notes"))
    monkeypatch.setattr(go_programs, "BUILT", tmp_path / "built")
    return tmp_path / "notes"


def test_a_program_is_built_once_from_the_versions_it_names(notes: Path) -> None:
    """All of its modules, its tags; and under a name with the version, so that another one is built anew."""
    assert [build_all((PROGRAM,), "make tools") for _ in range(2)] == [0, 0]
    get, build = notes.read_text().splitlines()[1:]
    assert get == "get example.com/tool@v1.2.3 example.com/other@v4.5.6 example.com/tool/cmd/tool@v1.2.3"
    assert "-tags=small" in build
    assert build.endswith("example.com/tool/cmd/tool")
    assert PROGRAM.file.name == "tool-v1.2.3"
    assert PROGRAM.file.read_text() == "built\n"
    assert list(PROGRAM.file.parent.iterdir()) == [PROGRAM.file]


def test_a_file_is_copied_out_of_the_module_that_ships_it(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, from where Go says that the module is."""
    monkeypatch.setenv("GO_MODULE", str(tmp_path))
    (tmp_path / "schemas").write_text("kind: X\n")
    shipped = Shipped("schemas", "example.com/api", "v1.2.3", "schemas")
    assert [build_all((shipped,), "make tools") for _ in range(2)] == [0, 0]
    assert notes.read_text() == "mod download -json example.com/api@v1.2.3\n"
    assert shipped.file.name == "schemas-v1.2.3"
    assert shipped.file.read_text() == "kind: X\n"


def test_what_go_said_is_told(notes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 1, the step, the reason; and nothing is left that looks like the program."""
    monkeypatch.setenv("GO_FAILS_AT", "get")
    assert build_all((PROGRAM,), "make tools") == 1
    assert "no such module" in capsys.readouterr().err
    assert list(PROGRAM.file.parent.iterdir()) == []


def test_without_go_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, and one line that names who asked."""
    monkeypatch.setenv("PATH", "")
    assert build_all((PROGRAM,), "make tools") == 2
    assert capsys.readouterr().err.startswith("make tools builds programs")


def test_a_tool_is_found_when_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its plain name, and only in the version that is named here."""
    monkeypatch.setattr(go_programs, "BUILT", tmp_path)
    assert found("helm") is None
    file = TOOLS[0].file
    file.touch()
    assert found("helm") == file
    assert file.parent == tmp_path


def test_setup_leaves_a_link_alone(tmp_path: Path) -> None:
    """An environment that a link points to is somebody else's, and `venv --clear` would empty it."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "kept").touch()
    (tmp_path / ".venv").symlink_to(theirs)
    ended = subprocess.run(
        [ROOT / ".ci" / "setup", tmp_path / ".venv"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert ended.returncode == 1
    assert "is a link" in ended.stderr
    assert (theirs / "kept").exists()
