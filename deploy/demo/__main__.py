"""Start everything, drive every tier, print what was admitted and denied."""

import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

from deploy.demo.processes import (
    LOOPBACK,
    ROOT,
    Envoy,
    Instance,
    Process,
    config_map,
    run_to_the_end,
    start_envoy,
    start_service,
    start_upstream,
    start_valkey,
)

WINDOW_S = 60
# The whole drive has to fit into one window, on a slow machine too.
DRIVE_S = 15


@dataclass(frozen=True, slots=True)
class Tier:
    """One kind of caller: its header, how many requests it sends, and how many of them are to be admitted."""

    name: str
    loyalty: str | None
    sent: int
    expected: int


TIERS = (
    Tier("none", None, 4, 1),
    Tier("platinum", "platinum", 3, 0),
    Tier("bronze", "bronze", 6, 3),
    Tier("silver", "silver", 8, 5),
    Tier("gold", "gold", 15, 10),
)


@dataclass(slots=True)
class Scene:
    """What runs."""

    envoy: Envoy
    instances: list[Instance]


def say(text: str = "") -> None:
    """Show progress at once."""
    print(text, flush=True)


async def set_up(stack: AsyncExitStack, folder: Path) -> Scene:
    """Start Valkey, two instances, the upstream and Envoy; the stack ends them."""
    say("demo: starting Valkey, two service instances, an upstream and Envoy")
    valkey, valkey_port = await start_valkey(folder)
    _ends(stack, valkey)
    root = config_map(folder / "runtime", (ROOT / "config" / "catalog.yaml").read_text())
    environ = {
        "RUNTIME_ROOT": str(root),
        "RUNTIME_WATCH_ROOT": "false",
        "RUNTIME_IGNOREDOTFILES": "true",
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": f"{LOOPBACK}:{valkey_port}",
        "REDIS_TIMEOUT": "200ms",  # this machine is shared with everything that the demo starts
        "DRAIN_DELAY": "0",
    }
    instances = []
    for number in (1, 2):  # one after the other, so that each is known to the stack as soon as it runs
        instances.append(await start_service(f"ratelimit-{number}", folder, environ))
        _ends(stack, instances[-1].program)
    upstream_port = await start_upstream(stack, _catalog)
    bootstrap = yaml.safe_load((ROOT / "deploy" / "envoy" / "bootstrap.yaml").read_text())
    endpoints = {"catalog": [upstream_port], "ratelimit": [instance.grpc_port for instance in instances]}
    envoy = await start_envoy(folder, bootstrap, endpoints)
    _ends(stack, envoy.program)
    say("demo: everything is up")
    return Scene(envoy, instances)


async def drive(scene: Scene) -> list[tuple[Tier, int, int]]:
    """Send every tier's requests within one window: (tier, admitted, denied) each."""
    left = WINDOW_S - time.time() % WINDOW_S
    if left < DRIVE_S:
        say(f"demo: this minute has only {left:.0f} s left; waiting for the next one")
        await asyncio.sleep(left + 0.1)
    results = []
    async with aiohttp.ClientSession() as session:
        for tier in TIERS:
            say(f"demo: {tier.sent} requests as {tier.name}")
            results.append((tier, *await _send(session, scene.envoy.port, tier)))
    return results


def show(results: list[tuple[Tier, int, int]]) -> bool:
    """Print the table; whether every number is as expected."""
    say(f"\n{'tier':<12}{'x-loyalty':<12}{'sent':>6}{'admitted':>10}{'denied':>8}{'expected':>10}")
    right = True
    for tier, admitted, denied in results:
        matches = admitted == tier.expected and denied == tier.sent - tier.expected
        right &= matches
        mark = "" if matches else "   <- not as expected"
        say(f"{tier.name:<12}{tier.loyalty or '-':<12}{tier.sent:>6}{admitted:>10}{denied:>8}{tier.expected:>10}{mark}")
    say("\nAn unknown tier shares the limit of no loyalty: both together 1 a minute.")
    say("The limits are one over both instances, since both count in the same Valkey.")
    return right


def show_urls(scene: Scene) -> None:
    """Where to look while it runs."""
    say("\nLook further:")
    say(f"  curl -i -H 'x-loyalty: gold' http://{LOOPBACK}:{scene.envoy.port}/")
    say(f"  Envoy's admin:      http://{LOOPBACK}:{scene.envoy.admin_port}/stats?filter=ratelimit")
    for number, instance in enumerate(scene.instances, 1):
        say(f"  instance {number}: limits http://{LOOPBACK}:{instance.debug_port}/rlconfig")
        say(f"              counts http://{LOOPBACK}:{instance.debug_port}/stats")


async def main() -> int:
    """Run the demo; 0 when every number is right."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ratelimit-demo-")))
        scene = await set_up(stack, folder)
        right = show(await drive(scene))
        if os.environ.get("KEEP"):
            show_urls(scene)
            say("\nRunning until Ctrl-C.")
            await asyncio.Event().wait()
        else:
            say("`make demo KEEP=1` leaves it running and prints where to look.")
    return 0 if right else 1


def _ends(stack: AsyncExitStack, program: Process) -> None:
    stack.push_async_callback(program.stop)


async def _catalog(_: web.Request) -> web.Response:
    return web.json_response([{"id": 1, "name": "Eau de parfum"}])


async def _send(session: aiohttp.ClientSession, port: int, tier: Tier) -> tuple[int, int]:
    headers = {} if tier.loyalty is None else {"x-loyalty": tier.loyalty}
    statuses = []
    for _ in range(tier.sent):
        async with session.get(f"http://{LOOPBACK}:{port}/items", headers=headers) as response:
            statuses.append(response.status)
    return statuses.count(200), statuses.count(429)


if __name__ == "__main__":
    sys.exit(run_to_the_end(main, "demo"))
