"""`python -m tests.reference_sinks BINARY`: statistics of envoyproxy/ratelimit beside ours, for the same calls.

Run by hand: it wants the reference's binary. Each sink is captured from both: statsd over TCP, DogStatsD over UDP with
a mogrifier and tags, Prometheus by default and with deploy/reference-mapping.yaml. What differs is printed, but for
what docs/differences.md says; the exit code is 1 where something does.
"""

import asyncio
import re
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc.aio

from deploy.demo.processes import LOOPBACK, ROOT, config_map, free_port, start, start_valkey, until
from loadtest.header_blocks import PATH
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2

CONFIG = """
domain: d
descriptors:
  - { key: k, value: v, rate_limit: { unit: minute, requests_per_unit: 3 } }
  - { key: a, rate_limit: { unit: minute, requests_per_unit: 100 } }
  - { key: ip, value: 10.0.0.1, rate_limit: { unit: minute, requests_per_unit: 100 } }
  - { key: det, detailed_metric: true, rate_limit: { unit: minute, requests_per_unit: 50 } }
  - { key: sh, shadow_mode: true, rate_limit: { unit: minute, requests_per_unit: 1 } }
  - key: l1
    value: x
    descriptors:
      - key: l2
        value: y
        rate_limit: { unit: minute, requests_per_unit: 2 }
        descriptors: [{ key: l3, detailed_metric: true, rate_limit: { unit: minute, requests_per_unit: 50 } }]
"""
# Domain, the entries of each descriptor, and how often.
CALLS: Sequence[tuple[str, Sequence[Sequence[tuple[str, str]]], int]] = (
    ("d", [[("k", "v")]], 6),
    ("d", [[("a", "1")], [("a", "2")]], 2),
    ("d", [[("ip", "10.0.0.1")]], 1),
    ("d", [[("det", "u1")]], 1),
    ("d", [[("det", "")]], 1),
    ("d", [[("det", "a.b.c")]], 1),
    ("d", [[("sh", "1")]], 3),
    ("d", [[("l1", "x"), ("l2", "y")]], 4),
    ("d", [[("l1", "x"), ("l2", "y"), ("l3", "deep:p|q")]], 2),
    ("nope.x", [[("k", "v")]], 2),
    ("", [[("k", "v")]], 1),
    ("d", [], 1),
)
MOGRIFIER = {
    "USE_DOG_STATSD_MOGRIFIERS": "lim",
    "DOG_STATSD_MOGRIFIER_LIM_PATTERN": r"^ratelimit\.service\.rate_limit\.(.*)\.(.*)\.(.*)$",
    "DOG_STATSD_MOGRIFIER_LIM_NAME": "limits.$3",
    "DOG_STATSD_MOGRIFIER_LIM_TAGS": "domain:$1",
    "EXTRA_TAGS": "b:x.y|z,a:1",
    "DD_ENV": "prod",
}
SINKS: Mapping[str, Mapping[str, str]] = {
    "statsd": {"USE_STATSD": "true", "EXTRA_TAGS": "b:x.y,a:1"},
    "dogstatsd": {"USE_DOG_STATSD": "true", **MOGRIFIER},
    "prometheus": {"USE_PROMETHEUS": "true"},
    "mapped": {"USE_PROMETHEUS": "true", "PROMETHEUS_MAPPER_YAML": str(ROOT / "deploy" / "reference-mapping.yaml")},
}
# Of one of the two only, or a matter of time: docs/differences.md.
_ASIDE = re.compile(
    r"ratelimit[._](go|grpc|http|store|redis_pool)[._]|^runtime[._]|averageAccessTime|response_time|statsd_exporter|"
    r"^(go|process|python|promhttp)_|^#|datadog|^$"
)
# Prometheus without the mapping: ours has labels and zeros where the reference has names and nothing.
_BETTER = re.compile(r"domain_not_found|over_limit_with_local_cache|l2_y|err_type|total_negative_hits| 0$")


async def captured(sink: str, command: Sequence[str]) -> Counter[str]:
    """What a sink was told of the calls, by its lines."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ratelimit-sinks-")))
        valkey, store_port = await start_valkey(folder)
        stack.push_async_callback(valkey.stop)
        told = bytearray()
        loop = asyncio.get_running_loop()
        tcp = await asyncio.start_server(lambda reader, _: _read(reader, told), LOOPBACK, 0)
        stack.callback(tcp.close)
        udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(told), local_addr=(LOOPBACK, 0))
        stack.callback(udp.close)
        at = udp.get_extra_info("sockname") if sink == "dogstatsd" else tcp.sockets[0].getsockname()
        ports = {name: str(free_port()) for name in ("GRPC_PORT", "PORT", "DEBUG_PORT")}
        metrics = free_port()
        environ = {
            "RUNTIME_ROOT": str(config_map(folder / "runtime", CONFIG)), "RUNTIME_WATCH_ROOT": "false",
            "RUNTIME_IGNOREDOTFILES": "true", "REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": f"{LOOPBACK}:{store_port}",
            "STATS_FLUSH_INTERVAL": "1s", "LOCAL_CACHE_SIZE_IN_BYTES": "1000", "REDIS_TIMEOUT": "1s",
            "STATSD_HOST": LOOPBACK, "STATSD_PORT": str(at[1]), "USE_STATSD": "false",
            "PROMETHEUS_ADDR": f"{LOOPBACK}:{metrics}",
            **dict.fromkeys(("HOST", "GRPC_HOST", "DEBUG_HOST"), LOOPBACK), **ports, **SINKS[sink],
        }  # fmt: skip
        program = await start("service", command, folder, environ)
        stack.push_async_callback(program.stop)
        await until(program, lambda: _called(int(ports["GRPC_PORT"])), "answering")
        await asyncio.sleep(2.5)  # two flushes
        if sink in {"prometheus", "mapped"}:
            url = f"http://{LOOPBACK}:{metrics}/metrics"
            told += await asyncio.to_thread(lambda: urllib.request.urlopen(url).read())
        lines = [line.removesuffix(".0") for line in told.decode().splitlines()]
    # Gauges are told with each flush: how often is a matter of time.
    return Counter(line for line in lines if not _ASIDE.search(line) and "|g" not in line)


async def _called(port: int) -> bool:
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        try:
            await asyncio.wait_for(channel.channel_ready(), 2)
        except TimeoutError:
            return False
        method: Any = channel.unary_unary(PATH, request_serializer=rls_pb2.RateLimitRequest.SerializeToString)
        for domain, descriptors, times in CALLS:
            request = rls_pb2.RateLimitRequest(domain=domain)
            for entries in descriptors:
                descriptor = request.descriptors.add()
                for key, value in entries:
                    descriptor.entries.add(key=key, value=value)
            for _ in range(times):
                await asyncio.gather(method(request), return_exceptions=True)
    return True


async def _read(reader: asyncio.StreamReader, told: bytearray) -> None:
    while data := await reader.read(65536):
        told += data


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, told: bytearray) -> None:
        self._told = told

    def datagram_received(self, data: bytes, _: object) -> None:
        self._told += data


async def main(binary: str) -> int:
    """Capture all sinks from both; 1 where they differ."""
    differ = 0
    for sink in SINKS:
        theirs, ours = await captured(sink, [binary]), await captured(sink, [sys.executable, "-m", "ratelimit"])
        for name, lines in (("reference", theirs - ours), ("ours", ours - theirs)):
            for line in sorted(lines):
                if sink != "prometheus" or not _BETTER.search(line):
                    differ += 1
                    sys.stdout.write(f"{sink}: only {name}: {line}\n")
        sys.stdout.write(f"{sink}: {len(theirs & ours)} lines are the same\n")
    return min(1, differ)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
