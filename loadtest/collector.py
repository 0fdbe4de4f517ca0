"""A collector of traces that keeps nothing: OTLP over HTTP on OTLP_PORT (4318), for `EXTRA=tracing make bench`.

It says once a second how many requests it took, and of how many bytes, where any came.
"""

import asyncio
import contextlib
import os

from aiohttp import web


class Collector:
    """Counts what comes."""

    def __init__(self) -> None:
        self.requests = self.octets = 0

    async def take(self, request: web.Request) -> web.Response:
        """One batch of spans."""
        self.requests += 1
        self.octets += len(await request.read())
        return web.Response(content_type="application/x-protobuf")

    async def start(self, port: int) -> web.AppRunner:
        """Listen on the loopback address."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/traces", self.take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return runner


async def main() -> None:
    """Until it is interrupted."""
    collector = Collector()
    await collector.start(int(os.environ.get("OTLP_PORT", "4318")))
    told = 0
    while True:
        await asyncio.sleep(1)
        if collector.requests != told:
            told = collector.requests
            print(f"collector: {told} requests, {collector.octets} bytes", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
