"""What of Go's pprof makes sense for Python, on the debug port.

/debug            what there is
/debug/stacks     the stack of every thread and task, now
/debug/profile    ?seconds=5: collapsed stacks of all threads, sampled a hundred times a second
/debug/flame      the same as a flame graph
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

from aiohttp import web

from ratelimit.admin.flame_graph import flame_graph
from ratelimit.admin.listener import Handler, takes_longer
from ratelimit.admin.profiling import collapsed, profile, stacks_now

SECONDS, SECONDS_MAX = 5, 60
INDEX = f"""/debug/stacks: the stack of every thread and task, now
/debug/profile?seconds={SECONDS}: collapsed stacks of all threads, sampled for so long (at most {SECONDS_MAX})
/debug/flame?seconds={SECONDS}: the same as a flame graph (SVG)
"""


class DebugPages:
    """The pages of one process: with WORKERS, of the one that has the debug port."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._profiling = False

    @property
    def routes(self) -> Mapping[str, Handler]:
        """Path -> handler."""
        return {
            "/debug": self._index,
            "/debug/": self._index,
            "/debug/stacks": self._stacks,
            "/debug/profile": self._profile,
            "/debug/flame": self._flame,
        }

    def close(self) -> None:
        """End a profile that is being taken."""
        self._stop.set()

    async def _index(self, _: web.Request) -> web.Response:
        return web.Response(text=INDEX)

    async def _stacks(self, _: web.Request) -> web.Response:
        return web.Response(text="".join(stacks_now()))

    async def _profile(self, request: web.Request) -> web.Response:
        return web.Response(text=collapsed(await self._taken(_seconds(request))))

    async def _flame(self, request: web.Request) -> web.Response:
        seconds = _seconds(request)
        stacks = await self._taken(seconds)
        title = f"{sum(stacks.values())} samples in {seconds} s, ended {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        return web.Response(text=flame_graph(stacks, title), content_type="image/svg+xml")

    async def _taken(self, seconds: int) -> Counter[str]:
        """A profile; one at a time. Raises HTTPTooManyRequests."""
        if self._profiling:
            raise web.HTTPTooManyRequests(text="a profile is being taken; one at a time\n")
        takes_longer(seconds)
        self._profiling = True
        try:
            return await asyncio.to_thread(profile, seconds, self._stop)
        finally:
            self._profiling = False


def _seconds(request: web.Request) -> int:
    """How long a profile shall take. Raises HTTPBadRequest."""
    text = request.query.get("seconds", str(SECONDS))
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(SECONDS_MAX)) and 1 <= int(text) <= SECONDS_MAX):
        raise web.HTTPBadRequest(text=f"seconds: a whole number from 1 to {SECONDS_MAX} is wanted\n")
    return int(text)
