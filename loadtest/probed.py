"""`ratelimit` with a probe on its event loop: serves until SIGTERM, then writes the lags it saw to the file named.

    python -m loadtest.probed FILE

The environment is that of `ratelimit`. The file holds JSON: the number of lags, and their percentiles in milliseconds.
SIGUSR1 has the number of tasks on the loop written beside it, to FILE.tasks.
"""

import asyncio
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


def tasks_file(file: Path) -> Path:
    """Where the number of tasks is written."""
    return file.with_name(f"{file.name}.tasks")


async def serve(file: Path) -> None:
    """Serve, and probe for as long as that."""
    settings, done = load_settings(), asyncio.Event()
    configure_logs(settings.log)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _tell_tasks, file)
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


def _tell_tasks(file: Path) -> None:
    new = file.with_name(f"{file.name}.new")
    new.write_text(str(len(asyncio.all_tasks())))
    new.rename(tasks_file(file))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1])))
