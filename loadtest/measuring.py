"""One measurement: a client in a process of its own, and the server's CPU time around it."""

import asyncio
import dataclasses
import json
import re
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.processes import LOOPBACK
from loadtest.answers import LoadFailedError
from loadtest.cases import Case
from loadtest.header_blocks import PATH
from loadtest.loop_lag import percentile
from loadtest.raw_client import Load
from loadtest.request_frames import framed, request
from loadtest.servers import CLIENT_CORE, Server, pinned

# An answer with one status is longer; one that failed has no message at all, and h2load does not look at grpc-status.
ANSWER_BYTES_MIN = 15
# The part of the requests that is sent once more for h2load's latencies: writing them down slows it.
LOGGED_PART = 4


@dataclass(frozen=True, slots=True)
class Sample:
    """What one measurement came to. The busy parts are of one core; above one where a server has several workers."""

    rate: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    server_busy: float
    client_busy: float | None = None
    p999_ms: float | None = None


async def measure(case: Case, server: Server, requests: int) -> Sample:
    """Measure a case. Raises LoadFailedError where one request failed."""
    load = dataclasses.replace(case.load, port=server.port, requests=requests)
    if case.plain and shutil.which("h2load"):
        return await _h2load(load, server)
    return await _raw(load, server)


async def _raw(load: Load, server: Server) -> Sample:
    command = [*pinned(CLIENT_CORE), sys.executable, "-m", "loadtest.raw_client", json.dumps(dataclasses.asdict(load))]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        said = await process.stdout.readline()  # type: ignore[union-attr]
        before = server.cpu_s()
        output, _ = await process.communicate(b"\n")
    except BaseException:
        process.kill()
        await process.wait()
        raise
    after = server.cpu_s()
    found = json.loads(output or (said if said != b"ready\n" else b"") or b'{"failed": "the client died"}')
    if "failed" in found:
        raise LoadFailedError(found["failed"])
    cpu_s = after - before
    elapsed_s, count = found["elapsed_s"], found["requests"]
    latencies = {name: found[name] for name in ("p50_ms", "p99_ms", "p999_ms")}
    return Sample(
        rate=count / elapsed_s,
        cpu_us=cpu_s / count * 1e6,
        server_busy=cpu_s / elapsed_s,
        client_busy=found["client_cpu_s"] / elapsed_s,
        **latencies,
    )


async def _h2load(load: Load, server: Server) -> Sample:
    before = server.cpu_s()
    rate = parse_h2load(await _h2load_output(load), load.requests)
    cpu_s = server.cpu_s() - before
    with tempfile.NamedTemporaryFile() as log:
        few = max(load.requests // LOGGED_PART, load.connections * load.streams)
        parse_h2load(await _h2load_output(dataclasses.replace(load, requests=few), f"--log-file={log.name}"), few)
        latencies = parse_log(Path(log.name).read_text())  # noqa: ASYNC240 - nothing else is to do
    return Sample(
        rate=rate,
        cpu_us=cpu_s / load.requests * 1e6,
        p50_ms=percentile(latencies, 0.5),
        p99_ms=percentile(latencies, 0.99),
        server_busy=cpu_s * rate / load.requests,
    )


async def _h2load_output(load: Load, *options: str) -> str:
    with tempfile.NamedTemporaryFile() as body:
        body.write(framed(request()))
        body.flush()
        headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        shape = ["-n", str(load.requests), "-c", str(load.connections), "-m", str(load.streams), "-d", body.name]
        command = [*pinned(CLIENT_CORE), "h2load", *shape, *options, *headers, f"http://{LOOPBACK}:{load.port}{PATH}"]
        output = await output_of(await asyncio.create_subprocess_exec(*command, stdout=PIPE))
    return output.decode()


async def output_of(process: asyncio.subprocess.Process) -> bytes:
    """What a client says to its end; whoever does not wait for that ends it."""
    try:
        output, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return output


def parse_h2load(text: str, requests: int) -> float:
    """Requests per second. Raises LoadFailedError where not every request got a message."""
    rate = re.search(r"^finished in .*, ([\d.]+) req/s", text, re.MULTILINE)
    succeeded = re.search(r"(\d+) succeeded", text)
    data = re.search(r"\((\d+)\) data", text)
    if not rate or not succeeded or not data or int(succeeded[1]) != requests:
        raise LoadFailedError(f"h2load did not get {requests} answers:\n{text}")
    if int(data[1]) < requests * ANSWER_BYTES_MIN:
        raise LoadFailedError(f"h2load got {requests} answers, and in them only {data[1]} bytes of messages:\n{text}")
    return float(rate[1])


def parse_log(text: str) -> list[float]:
    """Latencies in milliseconds, from lines of start, status and microseconds."""
    return [int(line.split("\t")[2]) / 1000 for line in text.splitlines()]
