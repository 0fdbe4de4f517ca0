"""Reading a configuration directory as one consistent set of files.

A ConfigMap mount is a set of links `config.yaml -> ..data/config.yaml`, where `..data` is a link to the directory of
one generation and is swapped by a rename. So links are resolved to one generation first, everything is read from it,
and the generation is verified after: if it moved meanwhile, everything is read again.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from ratelimit.descriptors.loader import ConfigFile
from ratelimit.errors import ConfigError

READ_TRIES = 10


def read_directory(directory: Path, *, ignore_dot_files: bool, file_bytes_max: int) -> list[ConfigFile]:
    """Every file below `directory`, whatever its extension, sorted by name. Raises ConfigError.

    A link to a directory and a dangling link are skipped. Names are relative to the directory.
    """
    for _ in range(READ_TRIES):
        generation = _generation(directory)
        try:
            files = [
                ConfigFile(str(path.relative_to(directory)), _read(path, file_bytes_max))
                for path in sorted(_files(directory, ignore_dot_files=ignore_dot_files))
            ]
        except FileNotFoundError as error:
            if not directory.is_dir():
                raise ConfigError("the directory does not exist", file=str(error.filename or directory)) from None
            continue
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", file=str(error.filename)) from None
        if _generation(directory) == generation:
            return files
    raise ConfigError(f"kept changing while it was read {READ_TRIES} times", file=str(directory))


def _generation(directory: Path) -> tuple[str, str]:
    return os.path.realpath(directory), os.path.realpath(directory / "..data")


def _files(directory: Path, *, ignore_dot_files: bool) -> Iterator[Path]:
    for entry in os.scandir(directory):
        if ignore_dot_files and entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path), ignore_dot_files=ignore_dot_files)
        elif entry.is_file():
            yield Path(entry.path)


def _read(path: Path, file_bytes_max: int) -> bytes:
    with path.open("rb") as file:
        return file.read(file_bytes_max + 1)
