"""`ratelimit` with a probe on its event loop: serves until SIGTERM, then writes the lags it saw to the file named.

    python -m loadtest.probed FILE

The environment is that of `ratelimit`. The file holds JSON: the number of lags, and their percentiles in milliseconds.
SIGUSR1 has two numbers written beside it, to FILE.held: of the tasks on the loop, and of Python's blocks of memory.
"""

import asyncio
import gc
import json
import signal
import sys
from pathlib import Path

import uvloop

from loadtest.loop_lag import percentile, probe
from ratelimit.app import make_app
from ratelimit.logs import configure_logs
from ratelimit.settings import load_settings

PARTS = (0.5, 0.9, 0.99, 0.999, 1.0)


def held_file(file: Path) -> Path:
    """Where the number of tasks and of blocks is written."""
    return file.with_name(f"{file.name}.held")


async def serve(file: Path) -> None:
    """Serve, and probe for as long as that."""
    settings, done = load_settings(), asyncio.Event()
    configure_logs(settings.log)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _tell_held, file)
    app = make_app(settings)
    serving = asyncio.ensure_future(app.run())
    while not (app.worker.healthy or serving.done()):  # noqa: ASYNC110 - the start is not what is measured
        await asyncio.sleep(0.01)
    probing = asyncio.ensure_future(probe(done))
    try:
        await serving
    finally:
        done.set()
        lags = await probing
        found = {f"p{100 * part:g}": round(percentile(lags, part) * 1000, 2) for part in PARTS}
        file.write_text(json.dumps({"lags": len(lags), **found}))  # noqa: ASYNC240 - it is over


def _tell_held(file: Path) -> None:
    new = file.with_name(f"{file.name}.new")
    gc.collect()  # what only waits for the collector is not held
    new.write_text(f"{len(asyncio.all_tasks())} {sys.getallocatedblocks()}")
    new.rename(held_file(file))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1])))
