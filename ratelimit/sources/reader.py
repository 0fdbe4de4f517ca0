"""The process that reads a configuration: `python -m ratelimit.sources.reader`, a Job on standard input.

Parsing YAML takes seconds for a large configuration and holds the GIL, so it must not happen in the process that
serves. This one reads the directory, or what a control plane sent, holds all of it against the rules, and hands the
nodes over in pieces (`handover`). It bounds itself: memory, time, and a lower priority than the service that waits for
it.
"""

import contextlib
import gc
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from ratelimit.descriptors.loader import read_nodes
from ratelimit.descriptors.rules import SpecificationRules
from ratelimit.descriptors.tree import Node
from ratelimit.errors import ConfigError
from ratelimit.sources.files import legible, read_directory
from ratelimit.sources.handover import Job, digest_of, failed_line, loaded_line, node_lines, unchanged_line

# A file of 500,000 nodes takes about 350 MB; the address space also holds code and what is not yet given back.
ADDRESS_SPACE_BYTES_MAX = 1024 * 1024 * 1024
# An orphan ends by itself; whoever waits for it gives up earlier (reader_process).
ALARM_S = 120
NICENESS = 10

Nodes = Iterator[tuple[int, Node]]


def main() -> int:
    """Read the job, write the answer; the exit code."""
    restrict()
    # What a library may print is no part of the answer.
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    job = Job.from_line(sys.stdin.buffer.readline())
    for line in answer(job, sys.stdin.buffer.read() if job.control_plane else b""):
        answers.write(line)
        answers.flush()
    return 0


def restrict() -> None:
    """Bound this process. Everything it makes is needed to its end, so no garbage is looked for."""
    signal.alarm(ALARM_S)
    gc.disable()
    with contextlib.suppress(OSError, ValueError):  # a limit that is already lower stays
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES_MAX, ADDRESS_SPACE_BYTES_MAX))
    with contextlib.suppress(OSError):
        os.nice(NICENESS)


def answer(job: Job, response: bytes = b"") -> Iterator[bytes]:
    """The lines of one job; the last is one of the ends that `handover` lists."""
    digest = ""
    try:
        warnings: list[str] = []
        digest, nodes = _sent(job, response) if job.control_plane else _files(job, warnings)
        if digest == job.known:
            yield unchanged_line()
            return
        yield from node_lines(nodes)
    except ConfigError as error:
        yield failed_line(error, digest)
    except MemoryError:
        reason = f"needs more than {ADDRESS_SPACE_BYTES_MAX} bytes of memory"
        yield failed_line(ConfigError(reason, file=legible(job.origin)), digest)
    else:
        yield loaded_line(digest, warnings)


def _files(job: Job, warnings: list[str]) -> tuple[str, Nodes]:
    """The digest and the nodes of a directory. Raises ConfigError."""
    files = read_directory(
        Path(job.directory), ignore_dot_files=job.ignore_dot_files, file_bytes_max=job.limits.file_bytes_max
    )
    nodes = read_nodes(
        files,
        lambda file: warnings.extend(file.warnings),
        strict=job.strict,
        merge_domains=job.merge_domains,
        limits=job.limits,
    )
    return digest_of(files), nodes


def _sent(job: Job, response: bytes) -> tuple[str, Nodes]:
    """The digest and the nodes of a DiscoveryResponse, which was parsed once before."""
    # A directory is read without what it takes to read messages.
    from ratelimit.sources import xds_messages  # noqa: PLC0415

    resources = xds_messages.read_response(response).resources
    rules = SpecificationRules(merge_domains=job.merge_domains)
    nodes = (node for each in xds_messages.specifications(resources) for node in rules.nodes(each))
    return xds_messages.digest_of(resources), nodes


if __name__ == "__main__":
    sys.exit(main())
