"""One Redis or Valkey server: script calls on one shared connection that is opened again whenever it is lost.

Meanwhile every batch fails at once. Ready means that the script ran: a connection counts as open when a hit on a key
of ours was counted on it. A user without the right to run scripts, a replica, or a server that still loads its data is
not ready, and says why.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import hiredis
import structlog
from redis.asyncio.connection import AbstractConnection

from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_store import Batch, Results
from ratelimit.metrics import StoreStats
from ratelimit.settings.redis_place import Backoff
from ratelimit.stores.redis.call import ScriptCall
from ratelimit.stores.redis.commands import ADD_HITS, SCRIPTS, BatchResults, commands_of, refusal, results_of
from ratelimit.stores.redis.connect import CONNECT_TIMEOUT_S, Dial, RefusedError, open_transport
from ratelimit.stores.redis.pipeline import RedisPipeline
from ratelimit.stores.redis.refusals import REFUSALS_LOGGED_MAX, Refusals

RECONNECT_INITIAL_S = 0.05
RECONNECT_MAX_S = 0.5
SILENCE_S_MIN = 1.0
PROBE_EXPIRE_S = 1
READONLY = "the store refused: READONLY"
# What a person must mend, since waiting does not.
FOR_PEOPLE = ("NOAUTH", "NOPERM", "WRONGPASS")
_ALL_COUNTED = {Counted}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What all nodes of a store have in common.

    `timeout_s` is REDIS_TIMEOUT. `prefix` stands before the probe's key, as it does before every counter: a user may
    be held to it. `variable` names the setting in the error that ends a start.
    """

    timeout_s: float
    prefix: str = ""
    startup: Backoff = field(default_factory=Backoff)
    variable: str = "REDIS_URL"


class RedisNode:
    """`resolve` says where the server is, anew for each connection.

    `on_state` is called with True and False as the node becomes ready or is lost.
    """

    def __init__(
        self,
        resolve: Callable[[], Awaitable[Dial]],
        options: NodeOptions,
        stats: StoreStats,
        on_state: Callable[[bool], None],
    ) -> None:
        self._resolve = resolve
        self._options = options
        self._stats = stats
        self._on_state = on_state
        self._probe = f"{options.prefix}{{rl:ready}}".encode()
        # None while it is not ready.
        self.pipeline: RedisPipeline | None = None
        self._connection: AbstractConnection | None = None
        self._lost = asyncio.Event()
        self._away = False
        self._shown = ""
        self._reason = "not connected yet"
        self._refusals = Refusals()
        self._reasons_told: set[str] = set()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self.gave_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Connect in the background and stay connected.

        `gave_up` gets a StoreError where REDIS_STARTUP_MAX_ELAPSED_TIME passes without a first connection.
        """
        self._task = asyncio.create_task(self._stay_connected())

    async def close(self) -> None:
        """Close; what waits is failed."""
        self._closing = True
        if self.pipeline is not None:
            self._stats.cx_local_close += 1
            self.pipeline.close("the service stops")
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._disconnect()

    def count(self, batch: Batch, done: Callable[[Results], None]) -> None:
        """Count a batch whose keys are all of this node; see `CounterStore`."""
        pipeline = self.pipeline
        if pipeline is None or not pipeline.writable:
            self._stats.errors += 1
            done([self.refused()] * len(batch.hits))
            return
        commands = commands_of(batch.hits)
        self._stats.batches += len(commands)
        if len(commands) == 1:
            ScriptCall(self, pipeline, commands[0], batch, done).send()
            return
        answers = BatchResults(len(commands), done)
        for place, command in enumerate(commands):
            ScriptCall(self, pipeline, command, batch, partial(answers.put, place)).send()

    def refused(self) -> StoreError:
        """Why nothing can be sent now."""
        return StoreError("the store is away" if self.pipeline is None else "the store does not take more for now")

    def settle(self, call: ScriptCall, reply: Any) -> Results | None:
        """The results of a call from its reply; counts what went wrong, and leaves a server that is a replica."""
        results = results_of(reply, call.hits, call.batch.now)
        if not self._refusals and set(map(type, results)) == _ALL_COUNTED:  # the common case
            return results
        failed = [(hit, each) for hit, each in zip(call.hits, results, strict=True) if isinstance(each, StoreError)]
        if failed:
            whole = not isinstance(reply, list)
            self._stats.errors += whole
            self._stats.poisoned += 0 if whole else len(failed)
            self._stats.unknown_outcomes += sum(abs(hit.amount) for hit, error in failed if error.outcome_unknown)
            self._note_failure(failed[0][1].reason, call)
        elif self._refusals:
            self._refusals.note_counted(call.hits, asyncio.get_running_loop().time())
        return results

    def _note_failure(self, reason: str, call: ScriptCall) -> None:
        """A replica is left, which has a line of its own."""
        if reason == READONLY:
            call.pipeline.close("the server became a replica")
        elif reason.startswith("the store refused"):
            self._refusals.note(reason, asyncio.get_running_loop().time())

    async def _stay_connected(self) -> None:
        startup, loop = self._options.startup, asyncio.get_running_loop()
        started, ever = loop.time(), False
        wait_s = max(RECONNECT_INITIAL_S, startup.initial_s)
        while True:
            try:
                await self._connect()
            except Exception as error:  # noqa: BLE001 - whatever a server does, the next try may succeed
                self._note_away(str(error) or type(error).__name__, for_people=isinstance(error, RefusedError))
                if not ever and 0 < startup.elapsed_max_s < loop.time() - started:
                    reason = f"{self._options.variable}: cannot connect: {self._reason}"
                    self.gave_up.set_exception(StoreError(reason, transient=False))
                    return
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - it spreads reconnects
                most = RECONNECT_MAX_S if ever else max(RECONNECT_INITIAL_S, startup.most_s)
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
        dial = await self._resolve()
        self._shown = dial.target.shown
        silence_s = max(SILENCE_S_MIN, 5 * self._options.timeout_s)
        pipeline = RedisPipeline(silence_s, self._stats, self._connection_lost)
        self._connection = await open_transport(dial, pipeline)
        try:
            await self._see_it_count(pipeline)
        except BaseException:
            pipeline.close("it cannot count")
            await self._disconnect()
            raise
        self.pipeline = pipeline
        self._refusals.clear()
        self._stats.cx_total += 1
        self._stats.cx_active += 1
        if not self._away:
            _log.info("connected to the store", address=self._shown)
        else:
            _log.warning("the store is back", address=self._shown)
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
        if self.pipeline is not None:
            self.pipeline = None
            self._stats.cx_active -= 1
            self._note_away(reason)
            self._on_state(False)
        self._lost.set()

    def _note_away(self, reason: str, *, for_people: bool = False) -> None:
        """One line when the store goes, and one for each reason that waiting does not mend.

        Why else further tries fail is told at a level that nobody reads by default.
        """
        if self._closing:
            return
        news = for_people and reason not in self._reasons_told and len(self._reasons_told) < REFUSALS_LOGGED_MAX
        if not self._away:
            self._away = True
            _log.warning("the store is away", address=self._shown, reason=reason)
        elif reason != self._reason:
            (_log.warning if news else _log.info)("the store is still away", address=self._shown, reason=reason)
        if news:
            self._reasons_told.add(reason)
        self._reason = reason
