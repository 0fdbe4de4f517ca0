from pathlib import Path

import pytest

from deploy.demo.processes import config_map
from ratelimit.errors import ConfigError
from ratelimit.sources import files
from ratelimit.sources.files import read_directory


def names(directory: Path, *, ignore_dot_files: bool = False) -> list[str]:
    """The names of the files found."""
    found = read_directory(directory, ignore_dot_files=ignore_dot_files, file_bytes_max=100)
    return [file.name for file in found]


def test_every_file_counts(tmp_path: Path) -> None:
    """Whatever its extension, in subfolders too, sorted; links to directories and dangling links do not."""
    for name in ("b.yaml", "a", ".dot", "sub/c.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "linked").symlink_to(tmp_path / "sub")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert names(tmp_path) == [".dot", "a", "b.yaml", "sub/c.yml"]
    assert names(tmp_path, ignore_dot_files=True) == ["a", "b.yaml", "sub/c.yml"]


def test_a_config_map_is_read_once(tmp_path: Path) -> None:
    """Behind its links there is one file."""
    root = config_map(tmp_path, "domain: d")
    assert names(root / "config", ignore_dot_files=True) == ["config.yaml"]


def test_a_swap_while_reading_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files come from one generation."""
    root = config_map(tmp_path, "domain: old")
    read, swapped = files._read, list[str]()

    def swap_then_read(path: Path, most: int) -> bytes:
        if not swapped:
            swapped.append("2")
            config_map(tmp_path, "domain: new", "2")
            return b"half of the old"
        return read(path, most)

    monkeypatch.setattr(files, "_read", swap_then_read)
    found = read_directory(root / "config", ignore_dot_files=True, file_bytes_max=100)
    assert [file.text for file in found] == [b"domain: new"]


def test_a_directory_that_never_rests_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded tries, then a reason."""
    generations = iter(range(1000))
    monkeypatch.setattr(files, "_generation", lambda _: next(generations))
    with pytest.raises(ConfigError, match="kept changing"):
        names(tmp_path)


def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing directory and a file without permission."""
    with pytest.raises(ConfigError, match=r"missing: the directory does not exist"):
        names(tmp_path / "missing")
    (tmp_path / "a").write_text("x")

    def refuse(path: Path, _: int) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files, "_read", refuse)
    with pytest.raises(ConfigError, match=r"a: cannot be read: Permission denied"):
        names(tmp_path)
