"""Counters in one Redis or Valkey: script calls on one shared connection, nothing sent twice.

Sent again is only what provably did not run: NOSCRIPT answers before the script starts, so that one command goes out
once more, as EVAL, within the batch's own deadline. A lost connection is opened again in the background; meanwhile
every batch fails at once.

Ready means that the script ran: a connection counts as open when a hit on a key of ours was counted on it. A user
without the right to run scripts, a replica, or a server that still loads its data is not ready, and says why.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import hiredis
import structlog
from redis.asyncio.connection import AbstractConnection

from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_store import Batch, Hit, Results
from ratelimit.metrics import StoreStats
from ratelimit.settings import RedisSettings
from ratelimit.stores.redis.commands import ADD_HITS, SCRIPTS, BatchResults, Script, commands_of, refusal, results_of
from ratelimit.stores.redis.connect import CONNECT_TIMEOUT_S, RefusedError, open_transport
from ratelimit.stores.redis.pipeline import RedisPipeline

RECONNECT_INITIAL_S = 0.05
RECONNECT_MAX_S = 0.5
SILENCE_S_MIN = 1.0
PROBE_EXPIRE_S = 1
REFUSALS_LOGGED_MAX = 20
# So long no hit must be refused before it is told that this is over: a server at the edge of its memory refuses some.
REFUSAL_OVER_S = 10.0
# Refusals of one key, whatever its neighbours: no state of the server, so none that ends.
KEY_REFUSALS = frozenset(("the store refused: WRONGTYPE", "the store refused: ERR"))
_ALL_COUNTED = {Counted}
READONLY = "the store refused: READONLY"
# What a person must mend, since waiting does not.
FOR_PEOPLE = ("NOAUTH", "NOPERM", "WRONGPASS")

_log = structlog.get_logger(__name__)


class RedisStore:
    """A `CounterStore` on one server. `on_state` is called with True and False as it becomes ready or is lost.

    `prefix` stands before the probe's key, as it does before every counter: a user may be held to it.
    """

    def __init__(
        self, settings: RedisSettings, stats: StoreStats, on_state: Callable[[bool], None], prefix: str = ""
    ) -> None:
        self._settings = settings
        self._stats = stats
        self._on_state = on_state
        self._probe = f"{prefix}{{rl:ready}}".encode()
        self._pipeline: RedisPipeline | None = None
        self._connection: AbstractConnection | None = None
        self._lost = asyncio.Event()
        self._away = False
        self._reason = "not connected yet"
        # When each was heard last.
        self._refusals: dict[str, float] = {}
        self._reasons_told: set[str] = set()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self.gave_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def connected(self) -> bool:
        """Whether it is ready to count."""
        return self._pipeline is not None

    async def start(self) -> None:
        """Connect in the background and stay connected.

        `gave_up` gets a StoreError where REDIS_STARTUP_MAX_ELAPSED_TIME passes without a first connection.
        """
        self._task = asyncio.create_task(self._stay_connected())

    async def close(self) -> None:
        """Close; what waits is failed."""
        self._closing = True
        if self._pipeline is not None:
            self._stats.cx_local_close += 1
            self._pipeline.close("the service stops")
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._disconnect()

    def count(self, batch: Batch, done: Callable[[Results], None]) -> None:
        """Count a batch; see `CounterStore`."""
        pipeline = self._pipeline
        if pipeline is None or not pipeline.writable:
            reason = "the store is away" if pipeline is None else "the store does not take more for now"
            self._stats.errors += 1
            done([StoreError(reason)] * len(batch.hits))
            return
        commands = commands_of(batch.hits)
        self._stats.batches += len(commands)
        if len(commands) == 1:
            _Command(self, pipeline, commands[0], batch, done).send()
            return
        answers = BatchResults(len(commands), done)
        for place, command in enumerate(commands):
            _Command(self, pipeline, command, batch, partial(answers.put, place)).send()

    def settle(self, command: "_Command", reply: Any) -> Results:
        """The results of a command from its reply; counts what went wrong, and leaves a server that is a replica."""
        results = results_of(reply, command.hits, command.batch.now)
        if not self._refusals and set(map(type, results)) == _ALL_COUNTED:  # the common case
            return results
        failed = [(hit, each) for hit, each in zip(command.hits, results, strict=True) if isinstance(each, StoreError)]
        if failed:
            whole = not isinstance(reply, list)
            self._stats.errors += whole
            self._stats.poisoned += 0 if whole else len(failed)
            self._stats.unknown_outcomes += sum(abs(hit.amount) for hit, error in failed if error.outcome_unknown)
            self._note_refusal(failed[0][1].reason, command)
        elif self._refusals:
            self._note_counted(command.hits)
        return results

    def _note_refusal(self, reason: str, command: "_Command") -> None:
        """One line when the server begins to refuse; a replica is left, which has a line of its own."""
        if reason == READONLY:
            command.pipeline.close("the server became a replica")
        elif reason.startswith("the store refused"):
            if reason not in self._refusals:
                if len(self._refusals) >= REFUSALS_LOGGED_MAX:
                    return
                _log.warning("hits cannot be counted; more of the same are only counted", reason=reason)
            self._refusals[reason] = asyncio.get_running_loop().time()

    def _note_counted(self, hits: Sequence[Hit]) -> None:
        """One line when what the server refused is counted again. Looks say nothing: they need no memory."""
        if not any(hit.amount > 0 for hit in hits):
            return
        until = asyncio.get_running_loop().time() - REFUSAL_OVER_S
        for reason, heard in list(self._refusals.items()):
            if heard <= until and reason not in KEY_REFUSALS:
                del self._refusals[reason]
                _log.warning("hits are counted again", reason=reason)

    async def _stay_connected(self) -> None:
        settings, loop = self._settings, asyncio.get_running_loop()
        started, ever = loop.time(), False
        wait_s = max(RECONNECT_INITIAL_S, settings.redis_startup_initial_interval)
        while True:
            try:
                await self._connect()
            except Exception as error:  # noqa: BLE001 - whatever a server does, the next try may succeed
                self._note_away(str(error) or type(error).__name__, for_people=isinstance(error, RefusedError))
                if not ever and 0 < settings.redis_startup_max_elapsed_time < loop.time() - started:
                    self.gave_up.set_exception(
                        StoreError(f"REDIS_URL: cannot connect: {self._reason}", transient=False)
                    )
                    return
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - it spreads reconnects
                most = RECONNECT_MAX_S if ever else max(RECONNECT_INITIAL_S, settings.redis_startup_max_interval)
                wait_s = min(wait_s * 2, most)
                continue
            since, first = loop.time(), not ever
            ever = True
            await self._lost.wait()
            await self._disconnect()
            if first or loop.time() - since > RECONNECT_MAX_S:
                wait_s = RECONNECT_INITIAL_S
            else:  # a server that hangs up on each connection: do not hammer it
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, RECONNECT_MAX_S)

    async def _connect(self) -> None:
        """Open a connection and see the script count on it. Raises OSError (RefusedError) with a reason for people."""
        self._lost.clear()
        silence_s = max(SILENCE_S_MIN, 5 * self._settings.redis_timeout)
        pipeline = RedisPipeline(silence_s, self._stats, self._connection_lost)
        self._connection = await open_transport(self._settings, pipeline)
        try:
            await self._see_it_count(pipeline)
        except BaseException:
            pipeline.close("it cannot count")
            await self._disconnect()
            raise
        self._pipeline = pipeline
        self._refusals.clear()
        self._stats.cx_total += 1
        self._stats.cx_active = 1
        shown = self._settings.target.shown
        if not self._away:
            _log.info("connected to the store", address=shown)
        else:
            _log.warning("the store is back", address=shown)
        self._away, self._reason = False, ""
        self._reasons_told.clear()
        self._on_state(True)

    async def _see_it_count(self, pipeline: RedisPipeline) -> None:
        loop = asyncio.get_running_loop()
        seen: asyncio.Future[Any] = loop.create_future()
        deadline = loop.time() + CONNECT_TIMEOUT_S
        for script in SCRIPTS:
            # Who may not load scripts may still run them: then each one's first call is answered NOSCRIPT.
            pipeline.send((b"SCRIPT", b"LOAD", script.text), deadline, lambda _: None)
        probe = (b"EVAL", ADD_HITS.text, b"1", self._probe, b"1", b"%d" % PROBE_EXPIRE_S)
        pipeline.send(probe, deadline, lambda reply: None if seen.done() else seen.set_result(reply))
        reply = await seen
        answer = reply[0] if isinstance(reply, list) and reply else reply
        if isinstance(answer, StoreError):
            raise OSError(answer.reason)
        # Out of memory is a state of a server that can count, and passes: the callers are told hit by hit.
        if isinstance(answer, hiredis.ReplyError) and not str(answer).startswith("OOM"):
            kind = RefusedError if str(answer).startswith(FOR_PEOPLE) else OSError
            raise kind(f"{refusal(answer).reason}: {answer}")

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # Not waiting: the stream that redis-py would wait for no longer hears of its transport.
            await connection.disconnect(nowait=True)

    def _connection_lost(self, reason: str) -> None:
        if self._pipeline is not None:
            self._pipeline = None
            self._stats.cx_active = 0
            self._note_away(reason)
            self._on_state(False)
        self._lost.set()

    def _note_away(self, reason: str, *, for_people: bool = False) -> None:
        """One line when the store goes, and one for each reason that waiting does not mend.

        Why else further tries fail is told at a level that nobody reads by default.
        """
        if self._closing:
            return
        shown = self._settings.target.shown
        news = for_people and reason not in self._reasons_told and len(self._reasons_told) < REFUSALS_LOGGED_MAX
        if not self._away:
            self._away = True
            _log.warning("the store is away", address=shown, reason=reason)
        elif reason != self._reason:
            (_log.warning if news else _log.info)("the store is still away", address=shown, reason=reason)
        if news:
            self._reasons_told.add(reason)
        self._reason = reason


class _Command:
    """One script call of a batch; `done` gets its results."""

    __slots__ = ("_done", "_script", "_store", "batch", "hits", "pipeline")

    def __init__(
        self,
        store: RedisStore,
        pipeline: RedisPipeline,
        what: tuple[Script, Sequence[Hit]],
        batch: Batch,
        done: Callable[[Results], None],
    ) -> None:
        self._store = store
        self.pipeline = pipeline
        self._script, self.hits = what
        self.batch = batch
        self._done = done

    def send(self) -> None:
        """Call the script by its name."""
        command = (b"EVALSHA", self._script.sha, *self._script.arguments(self.hits))
        self.pipeline.send(command, self.batch.deadline, self._replied)

    def _replied(self, reply: Any) -> None:
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT") and self.pipeline.writable:
            command = (b"EVAL", self._script.text, *self._script.arguments(self.hits))
            self.pipeline.send(command, self.batch.deadline, self._finish)
        else:
            self._finish(reply)

    def _finish(self, reply: Any) -> None:
        self._done(self._store.settle(self, reply))
