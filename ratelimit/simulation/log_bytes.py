"""The bytes of a log: a file or standard input, packed by gzip or not, in blocks of whole lines."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from ratelimit.errors import LogError

STANDARD_INPUT = "-"
GZIP_MAGIC = b"\x1f\x8b"
FIRST_LINES = 10
BLOCK_BYTES = 256 * 1024
LINE_BYTES_MAX = 16 * 1024 * 1024


@contextmanager
def opened(place: str) -> Iterator[io.BufferedReader]:
    """The log of that path, or of `-`, unpacked. Raises LogError where it cannot be read, also while it is read."""
    try:
        if place == STANDARD_INPUT:
            yield _unpacked(sys.stdin.buffer)
            return
        with Path(place).open("rb") as file:
            yield _unpacked(file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LogError(f"what gzip packed is broken: {error}") from None
    except OSError as error:
        raise LogError(f"cannot be read: {error.strerror or error}") from None


def _unpacked(file: BinaryIO) -> io.BufferedReader:
    # What a pipe gives and a test puts in its place may not know how to look ahead.
    ahead = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", file))
    if not ahead.peek(2).startswith(GZIP_MAGIC):
        return ahead
    return io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=ahead)), BLOCK_BYTES)


def is_json(file: io.BufferedReader) -> bool:
    """Whether one of the first lines begins like JSON; nothing is taken from the log. Raises LogError for an empty one.

    The very first may be torn, where logs are rotated in the middle of a line.
    """
    beginning = file.peek(1)
    if not beginning:
        raise LogError("is empty")
    return any(line.lstrip().startswith(b"{") for line in beginning.split(b"\n", FIRST_LINES)[:FIRST_LINES])


def blocks(file: io.BufferedReader) -> Iterator[bytes]:
    """Whole lines, about BLOCK_BYTES of them at a time. Raises LogError for a line without an end."""
    while block := file.read(BLOCK_BYTES):
        rest = b"" if block.endswith(b"\n") else file.readline(LINE_BYTES_MAX)
        if len(rest) == LINE_BYTES_MAX:
            raise LogError(f"a line is longer than {LINE_BYTES_MAX} bytes")
        yield block + rest
