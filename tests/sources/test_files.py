import os
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.processes import config_map
from ratelimit.errors import ConfigError
from ratelimit.sources import files
from ratelimit.sources.files import fingerprint, legible, read_directory


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


def test_a_file_name_that_is_not_text_is_read_and_shown_escaped(tmp_path: Path) -> None:
    """The reference loads it; a log, JSON or terminal gets no raw byte and no line end of it."""
    for name in (b"\xff.yaml", b"a\nb\x1b[31m", "ü".encode()):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"x")
    assert sorted(names(tmp_path)) == ["\\xff.yaml", "a\\nb\\x1b[31m", "ü"]


@given(st.binary(max_size=40))
def test_every_name_is_made_legible(name: bytes) -> None:
    """Any bytes become one line of printable text that can be encoded."""
    shown = legible(os.fsdecode(name))
    assert shown.isprintable()
    assert shown.encode().decode() == shown


def test_the_fingerprint_tells_every_change(tmp_path: Path) -> None:
    """Written, touched, swapped, added, removed: all differ; looking twice does not."""

    def look() -> object:
        return fingerprint(tmp_path, ignore_dot_files=True)

    file, other = tmp_path / "a.yaml", tmp_path / "b.yaml"
    file.write_text("one")
    seen = [look()]
    assert look() == seen[0]
    for change in (
        lambda: file.write_text("longer"),
        lambda: os.utime(file, ns=(1, 1)),
        lambda: other.write_text("longer"),
        lambda: other.replace(file),
        file.unlink,
    ):
        change()
        assert look() not in seen
        seen.append(look())


def test_there_is_an_end_to_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root that was set to / by mistake is an error, not a scan of the machine."""
    for number in range(20):
        (tmp_path / str(number)).write_text("x" * 90)
    with pytest.raises(ConfigError, match="more than 1600 bytes in all files together"):
        names(tmp_path)
    monkeypatch.setattr(files, "FILES_MAX", 19)
    for look in (names, partial(fingerprint, ignore_dot_files=False)):
        with pytest.raises(ConfigError, match="more than 19 files and folders"):
            look(tmp_path)


def test_folders_may_be_as_deep_as_the_kernel_lets_them(tmp_path: Path) -> None:
    """Deeper than Python's recursion limit is no exception."""
    folders = [f"{tmp_path}{'/d' * depth}" for depth in range(1, 1_050)]
    for folder in folders:
        Path(folder).mkdir()
    assert names(tmp_path) == []
    for folder in reversed(folders):
        Path(folder).rmdir()
