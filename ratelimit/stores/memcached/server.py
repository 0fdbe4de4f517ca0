"""One memcached server: a connection that is opened again when it is lost, and a probe that sees it count."""

import asyncio
import random
import ssl
from collections.abc import Callable, Sequence

import structlog

from ratelimit.errors import StoreError
from ratelimit.lifetime import end_tasks
from ratelimit.metrics import StoreStats
from ratelimit.stores.groups import Answer
from ratelimit.stores.memcached.commands import add
from ratelimit.stores.memcached.pipeline import MemcachedPipeline, Reply

CONNECT_TIMEOUT_S = 5.0
RECONNECT_INITIAL_S = 0.05
RECONNECT_MAX_S = 0.5
PROBE_EXPIRE_S = 2

Address = tuple[str, int]
"""Host and port, or the path of a socket and 0."""

_log = structlog.get_logger(__name__)


class Server:
    """Stays connected to `address` from `start` to `close`. `on_state` is called as it becomes ready or is lost."""

    def __init__(  # noqa: PLR0913 - `tls` goes by name
        self,
        address: Address,
        probe: bytes,
        silence_s: float,
        stats: StoreStats,
        on_state: Callable[[], None],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address = address
        self.shown = f"{address[0]}:{address[1]}" if address[1] else address[0]
        self._probe = add(probe, 1, PROBE_EXPIRE_S)
        self._silence_s = silence_s
        self._stats = stats
        self._on_state = on_state
        self._tls = tls
        self._pipeline: MemcachedPipeline | None = None
        self._lost = asyncio.Event()
        self._reason = ""
        self._away = False
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether it is ready to count."""
        return self._pipeline is not None

    def start(self) -> None:
        """Connect in the background and stay connected; once."""
        if self._task is None:
            self._task = asyncio.create_task(self._stay_connected())

    async def close(self) -> None:
        """Close; what waits is failed."""
        self._closing = True
        if self._pipeline is not None:
            self._stats.cx_local_close += 1
            self._pipeline.close("the service stops")
        await end_tasks(self._task)

    def send(self, commands: Sequence[bytes], deadline: float, reply: Reply) -> None:
        """Send commands; `reply` gets one answer for each, at once where they cannot go out."""
        pipeline = self._pipeline
        if pipeline is None or not pipeline.writable:
            reason = "the store is away" if pipeline is None else "the store does not take more for now"
            reply([StoreError(reason)] * len(commands))
            return
        pipeline.send(commands, deadline, reply)

    async def _stay_connected(self) -> None:
        loop = asyncio.get_running_loop()
        wait_s = RECONNECT_INITIAL_S
        while True:
            try:
                await self._connect()
            except Exception as error:  # noqa: BLE001 - whatever a server does, the next try may succeed
                self._note_away(str(error) or type(error).__name__)
            else:
                since = loop.time()
                await self._lost.wait()
                if loop.time() - since > RECONNECT_MAX_S:  # else it hangs up on each connection: do not hammer it
                    wait_s = RECONNECT_INITIAL_S
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - it spreads reconnects
            wait_s = min(wait_s * 2, RECONNECT_MAX_S)

    async def _connect(self) -> None:
        """Open a connection and see it count. Raises OSError with a reason for people."""
        self._lost.clear()
        loop = asyncio.get_running_loop()
        pipeline = MemcachedPipeline(self._silence_s, self._stats, self._connection_lost)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                host, port = self.address
                if port:
                    await loop.create_connection(lambda: pipeline, host, port, ssl=self._tls)
                else:
                    await loop.create_unix_connection(lambda: pipeline, host)
                seen: asyncio.Future[list[Answer]] = loop.create_future()
                deadline = loop.time() + CONNECT_TIMEOUT_S
                pipeline.send([self._probe], deadline, lambda got: None if seen.done() else seen.set_result(got))
                (answer,) = await seen
            # Out of memory is a state of a server that can count, and passes: the callers are told hit by hit.
            if isinstance(answer, StoreError) and not answer.reason.endswith("SERVER_ERROR"):
                wants = "; memcached 1.6 or later is wanted" if answer.reason.endswith(" ERROR") else ""
                raise OSError(f"{answer.reason}{wants}")  # noqa: TRY301 - one way out closes the pipeline
            if not pipeline.writable:  # it may have been lost since the answer came
                raise OSError("lost the connection once it was open")  # noqa: TRY301 - likewise
        except BaseException:
            pipeline.close("it cannot count")
            raise
        self._pipeline = pipeline
        self._stats.cx_total += 1
        self._stats.cx_active += 1
        (_log.warning if self._away else _log.info)(
            "the store is back" if self._away else "connected to the store", address=self.shown
        )
        self._away, self._reason = False, ""
        self._on_state()

    def _connection_lost(self, reason: str) -> None:
        if self._pipeline is not None:
            self._pipeline = None
            self._stats.cx_active -= 1
            self._note_away(reason)
            self._on_state()
        self._lost.set()

    def _note_away(self, reason: str) -> None:
        """One line when the server goes; why further tries fail is told at a level that nobody reads by default."""
        if self._closing:
            return
        if not self._away:
            self._away = True
            _log.warning("the store is away", address=self.shown, reason=reason)
        elif reason != self._reason:
            _log.info("the store is still away", address=self.shown, reason=reason)
        self._reason = reason
