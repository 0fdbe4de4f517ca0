"""Counters in one Redis or Valkey: one script call per batch, one connection, nothing sent twice.

Retried is only what provably did not run: NOSCRIPT answers before the script starts, so that one batch goes out again,
as EVAL. A lost connection is opened again in the background; meanwhile every batch fails at once.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

import hiredis
import structlog
from redis.asyncio.connection import AbstractConnection

from ratelimit.errors import StoreError
from ratelimit.limiter.counter_store import COUNT_MAX, Counted, Hit
from ratelimit.metrics import StoreStats
from ratelimit.settings import RedisSettings
from ratelimit.stores.redis_connect import address, open_transport
from ratelimit.stores.redis_pipeline import RedisPipeline

RECONNECT_INITIAL_S = 0.05
RECONNECT_MAX_S = 0.5
SILENCE_S_MIN = 1.0
_NOT_RUN = ("LOADING", "READONLY", "NOAUTH", "NOPERM", "MASTERDOWN", "CLUSTERDOWN", "BUSY ", "NOSCRIPT")

_log = structlog.get_logger(__name__)


class RedisStore:
    """A `CounterStore` on one server. `on_state` is called with True and False as the connection comes and goes."""

    def __init__(self, settings: RedisSettings, stats: StoreStats, on_state: Callable[[bool], None]) -> None:
        self._settings = settings
        self._stats = stats
        self._on_state = on_state
        self._script = resources.files("ratelimit.stores").joinpath("lua/add_hits.lua").read_bytes()
        self._sha = hashlib.sha1(self._script).hexdigest().encode()  # noqa: S324 - Redis names scripts so
        self._pipeline: RedisPipeline | None = None
        self._connection: AbstractConnection | None = None
        self._lost = asyncio.Event()
        self._reason = "not connected yet"
        self._task: asyncio.Task[None] | None = None
        self.gave_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def connected(self) -> bool:
        """Whether a connection is open."""
        return self._pipeline is not None

    async def start(self) -> None:
        """Connect in the background and stay connected.

        `gave_up` gets a StoreError where REDIS_STARTUP_MAX_ELAPSED_TIME passes without a first connection.
        """
        self._task = asyncio.create_task(self._stay_connected())

    async def close(self) -> None:
        """Close; what waits is failed."""
        if self._pipeline is not None:
            self._stats.cx_local_close += 1
            self._pipeline.close("the service stops")
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._disconnect()

    def count(self, hits: Sequence[Hit], done: Counted) -> None:
        """Count a batch; see `CounterStore`."""
        self._stats.batches += 1
        pipeline = self._pipeline
        if pipeline is None:
            self._failed(StoreError(f"not connected to the store at {address(self._settings)}: {self._reason}"), done)
        elif not pipeline.writable:
            self._failed(StoreError("the store does not take more for now"), done)
        else:
            arguments = _arguments(hits)
            command = (b"EVALSHA", self._sha, *arguments)
            pipeline.send(command, lambda reply: self._counted(reply, arguments, len(hits), done))

    def _counted(self, reply: Any, arguments: Sequence[bytes], size: int, done: Counted) -> None:
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            pipeline = self._pipeline
            if pipeline is not None and pipeline.writable:
                command = (b"EVAL", self._script, *arguments)
                pipeline.send(command, lambda again: self._finish(again, size, done))
                return
        self._finish(reply, size, done)

    def _finish(self, reply: Any, size: int, done: Counted) -> None:
        if isinstance(reply, list) and len(reply) == size:
            done([min(int(count), COUNT_MAX) for count in reply])
            return
        if isinstance(reply, StoreError):
            self._failed(reply, done)
            return
        text = str(reply)
        self._failed(StoreError(f"the store refused: {text}", outcome_unknown=not text.startswith(_NOT_RUN)), done)
        if text.startswith("READONLY") and self._pipeline is not None:
            self._pipeline.close("the server became a replica")

    def _failed(self, error: StoreError, done: Counted) -> None:
        self._stats.errors += 1
        self._stats.unknown_outcomes += error.outcome_unknown
        done(error)

    async def _stay_connected(self) -> None:
        settings = self._settings
        started = asyncio.get_running_loop().time()
        ever, wait_s = False, settings.redis_startup_initial_interval
        while True:
            try:
                await self._connect()
            except (OSError, ValueError) as error:
                self._note(f"cannot connect: {error}")
                elapsed = asyncio.get_running_loop().time() - started
                if not ever and 0 < settings.redis_startup_max_elapsed_time < elapsed:
                    self.gave_up.set_exception(StoreError(f"{address(settings)}: {self._reason}", transient=False))
                    return
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - it spreads reconnects
                wait_s = min(wait_s * 2, RECONNECT_MAX_S if ever else settings.redis_startup_max_interval)
                continue
            since, first = asyncio.get_running_loop().time(), not ever
            ever = True
            await self._lost.wait()
            await self._disconnect()
            if first or asyncio.get_running_loop().time() - since > RECONNECT_MAX_S:
                wait_s = RECONNECT_INITIAL_S
            else:
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, RECONNECT_MAX_S)

    async def _connect(self) -> None:
        self._lost.clear()
        timeout_s = self._settings.redis_timeout
        pipeline = RedisPipeline(timeout_s, max(SILENCE_S_MIN, 5 * timeout_s), self._stats, self._connection_lost)
        self._connection = await open_transport(self._settings, pipeline)
        pipeline.send((b"SCRIPT", b"LOAD", self._script), lambda _: None)
        self._pipeline = pipeline
        self._stats.cx_total += 1
        self._stats.cx_active = 1
        self._reason = ""
        _log.info("connected to the store", address=address(self._settings))
        self._on_state(True)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # Not waiting: the stream that redis-py would wait for no longer hears of its transport.
            await connection.disconnect(nowait=True)

    def _connection_lost(self, reason: str) -> None:
        if self._pipeline is not None:
            self._pipeline = None
            self._stats.cx_active = 0
            self._note(reason)
            self._on_state(False)
        self._lost.set()

    def _note(self, reason: str) -> None:
        """Log a reason when it is new, so an absent store is one line and no flood."""
        if reason != self._reason:
            self._reason = reason
            _log.warning("the store is away", address=address(self._settings), reason=reason)


def _arguments(hits: Sequence[Hit]) -> list[bytes]:
    keys = [hit.key for hit in hits]
    numbers = [b"%d" % number for hit in hits for number in (hit.amount, hit.expire_s)]
    return [b"%d" % len(keys), *keys, *numbers]
