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
# More than any configuration has. A root that was set to / by mistake is an error, not a scan of the machine.
FILES_MAX = 10_000
# All files together, as a multiple of the largest that one may be.
TOTAL_BYTES_FACTOR = 16

Fingerprint = tuple[object, ...]


def read_directory(directory: Path, *, ignore_dot_files: bool, file_bytes_max: int) -> list[ConfigFile]:
    """Every file below `directory`, whatever its extension, sorted by name. Raises ConfigError.

    A link to a directory and a dangling link are skipped. Names are relative to the directory, and `legible`.
    """
    for _ in range(READ_TRIES):
        generation = _generation(directory)
        try:
            files = _read_all(directory, ignore_dot_files=ignore_dot_files, file_bytes_max=file_bytes_max)
        except FileNotFoundError as error:
            if not directory.is_dir():
                raise ConfigError("the directory does not exist", file=legible(error.filename or directory)) from None
            continue
        except OSError as error:
            raise _unreadable(directory, error) from None
        if _generation(directory) == generation:
            return files
    raise ConfigError(f"kept changing while it was read {READ_TRIES} times", file=legible(directory))


def read_file(path: Path, *, file_bytes_max: int) -> ConfigFile:
    """One file that is named itself, by its path, `legible`. Raises ConfigError."""
    try:
        return ConfigFile(legible(path), _read(path, file_bytes_max))
    except OSError as error:
        raise _unreadable(path, error) from None


def fingerprint(directory: Path, *, ignore_dot_files: bool) -> Fingerprint:
    """What the kernel knows about the files: equal as long as none was written, swapped, added or removed.

    It may change where the contents do not, never the other way round, and costs one `stat` per file. Raises
    ConfigError for a directory that is not there or cannot be listed.
    """
    try:
        found: list[object] = [_generation(directory)]
        for path in sorted(_files(directory, ignore_dot_files=ignore_dot_files)):
            status = path.stat()
            found.append(
                (str(path), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            )
    except FileNotFoundError as error:
        if not directory.is_dir():
            raise ConfigError("the directory does not exist", file=legible(error.filename or directory)) from None
        return (object(),)  # it is changing right now: like nothing seen before
    except OSError as error:
        raise _unreadable(directory, error) from None
    return tuple(found)


def legible(path: object) -> str:
    """A path for people: what is not UTF-8 or not printable is escaped, so that every log and JSON can take it."""
    text = os.fsencode(str(path)).decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot be read: {error.strerror or error}", file=legible(error.filename or path))


def _generation(directory: Path) -> tuple[str, str]:
    return os.path.realpath(directory), os.path.realpath(directory / "..data")


def _read_all(directory: Path, *, ignore_dot_files: bool, file_bytes_max: int) -> list[ConfigFile]:
    files, total = [], 0
    for path in sorted(_files(directory, ignore_dot_files=ignore_dot_files)):
        text = _read(path, file_bytes_max)
        total += len(text)
        if total > TOTAL_BYTES_FACTOR * file_bytes_max:
            reason = f"more than {TOTAL_BYTES_FACTOR * file_bytes_max} bytes in all files together"
            raise ConfigError(reason, file=legible(directory))
        files.append(ConfigFile(legible(path.relative_to(directory)), text))
    return files


def _files(directory: Path, *, ignore_dot_files: bool) -> Iterator[Path]:
    folders, count = [str(directory)], 0
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if ignore_dot_files and entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file():
                    count += 1
                    yield Path(entry.path)
                if count + len(folders) > FILES_MAX:
                    raise ConfigError(f"more than {FILES_MAX} files and folders", file=legible(directory))


def _read(path: Path, file_bytes_max: int) -> bytes:
    with path.open("rb") as file:
        return file.read(file_bytes_max + 1)
