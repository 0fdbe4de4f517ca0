"""One Redis or Valkey server: script calls on one shared connection that is opened again whenever it is lost.

Meanwhile every batch fails at once. Ready means that the script ran: a connection counts as open when a hit on a key
of ours was counted on it. A user without the right to run scripts, a replica, or a server that still loads its data is
not ready, and says why.

A server that is there and does not answer is asked no more, while its breaker is open: then only a probe goes out, the
same hit on a key of ours. To connect is a probe too.

READONLY tells of a failover: where the server is is resolved again, and what was refused is sent once more there.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import hiredis
import structlog
from redis.asyncio.connection import AbstractConnection

from ratelimit.errors import StoreError
from ratelimit.lifetime import end_tasks
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_store import Batch, Results
from ratelimit.metrics import StoreStats
from ratelimit.settings.redis_place import Backoff
from ratelimit.stores.redis.breaker import Breaker
from ratelimit.stores.redis.call import ScriptCall
from ratelimit.stores.redis.commands import ADD_HITS, SCRIPTS, BatchResults, commands_of, refusal, results_of
from ratelimit.stores.redis.connect import Dial, RefusedError, open_transport
from ratelimit.stores.redis.in_flight import InFlight
from ratelimit.stores.redis.pipeline import RedisPipeline
from ratelimit.stores.redis.second_try import SecondTry
from ratelimit.stores.redis.store_time import Hears, StoreTime
from ratelimit.stores.refusals import LATE, REFUSALS_LOGGED_MAX, Refusals

RECONNECT_INITIAL_S = 0.05
RECONNECT_MAX_S = 0.5
# Where there was a connection, one whose packets get lost must not keep the next try waiting for long.
RECONNECT_STEP_S = 0.8
SILENCE_S_MIN = 1.0
PROBE_EXPIRE_S = 1
BUSY = "the store does not take more for now"
READONLY = "the store refused: READONLY"
# What a person must mend, since waiting does not.
FOR_PEOPLE = ("NOAUTH", "NOPERM", "WRONGPASS")
_ALL_COUNTED = {Counted}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What all nodes of a store have in common.

    `timeout_s` is REDIS_TIMEOUT. `prefix` stands before the probe's key, as it does before every counter: a user may
    be held to it. `variable` names the setting in the error that ends a start. `clock` hears what time it is there.
    `probe_name` says which key is probed, where it is not always the same. `alive` are error codes with which a probed
    server shows that it is there and counts, though not this key. `paced`: after its breaker was open, see `InFlight`.
    """

    timeout_s: float
    prefix: str = ""
    startup: Backoff = field(default_factory=Backoff)
    variable: str = "REDIS_URL"
    clock: Hears | None = None
    probe_name: Callable[[], bytes] | None = None
    alive: tuple[str, ...] = ()
    paced: bool = True

    def probe_command(self) -> tuple[bytes, ...]:
        """The hit by which a server is seen to count."""
        name = self.probe_name() if self.probe_name is not None else f"{self.prefix}{{rl:ready}}".encode()
        return (b"EVAL", ADD_HITS.text, b"1", name, b"1", b"%d" % PROBE_EXPIRE_S)


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
        # None while hits cannot be sent: not connected, or the breaker is open.
        self.pipeline: RedisPipeline | None = None
        self._live: RedisPipeline | None = None
        self._connection: AbstractConnection | None = None
        self._lost = asyncio.Event()
        self._away = self._ever = False
        self._shown = ""
        self._reason = "not connected yet"
        self._refusals = Refusals()
        self._breaker = Breaker()
        self._in_flight = InFlight(options.timeout_s)
        # The breaker counts batches: in a Cluster one has many commands, and all are late together.
        self._judged: Batch | None = None
        self._probe_timer: asyncio.TimerHandle | None = None
        self._second_try = SecondTry(self._note_failed)
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
        if self._probe_timer is not None:
            self._probe_timer.cancel()
        if self._breaker.probe_succeeded():  # it is no server's any more
            self._stats.breaker_open -= 1
        if self._live is not None:
            self._stats.cx_local_close += 1
            self._live.close("the service stops")
        self._second_try.close()
        await end_tasks(self._task)
        await self._disconnect()

    def count(self, batch: Batch, done: Callable[[Results], None]) -> None:
        """Count a batch whose keys are all of this node; see `CounterStore`."""
        pipeline = self.pipeline
        if pipeline is None or not pipeline.writable:
            self._stats.errors += 1
            done([self.refused()] * len(batch.hits))
        elif self._in_flight.limited:
            self._count_what_fits(pipeline, batch, done)
        else:
            self._send(pipeline, batch, done)

    def _count_what_fits(self, pipeline: RedisPipeline, batch: Batch, done: Callable[[Results], None]) -> None:
        """Send what the server can do in time, and refuse the rest."""
        hits = batch.hits
        fit = self._in_flight.take(hits, asyncio.get_running_loop().time())
        if fit == len(hits):
            self._send(pipeline, batch, done)
            return
        self._stats.errors += 1
        refused = [StoreError(BUSY)] * (len(hits) - fit)
        if fit:
            fitting = Batch(hits[:fit], batch.now, batch.deadline)
            self._send(pipeline, fitting, lambda results: done([*results, *refused]))
        else:
            done(refused)

    def _send(self, pipeline: RedisPipeline, batch: Batch, done: Callable[[Results], None]) -> None:
        commands = commands_of(batch.hits)
        self._stats.batches += len(commands)
        if len(commands) == 1:
            ScriptCall(self, pipeline, commands[0], batch, done).send()
            return
        answers = BatchResults(len(commands), done)
        for place, command in enumerate(commands):
            ScriptCall(self, pipeline, command, batch, partial(answers.put, place)).send()

    def keep(self, call: ScriptCall, results: Results) -> bool:
        """Keep a call that did not run for the next connection; `results` are its results if none comes in time."""
        return self._second_try.keep(call, results)

    @property
    def reason(self) -> str:
        """Why it is away, for people."""
        return self._reason

    def refused(self) -> StoreError:
        """Why nothing can be sent now."""
        if self._breaker.open:
            return StoreError("the store is away (breaker open)")
        return StoreError("the store is away" if self.pipeline is None else BUSY)

    @property
    def calm(self) -> bool:
        """Whether nothing went wrong lately, so that what went well need not be noted."""
        return not (self._refusals or self._breaker.recent or self._in_flight.limited)

    def settle(self, call: ScriptCall, reply: Any) -> Results | None:
        """The results of a call from its reply, None where it gets a second try; counts what went wrong."""
        results = results_of(reply, call.hits, call.batch.now)
        if self.calm and set(map(type, results)) == _ALL_COUNTED:  # the common case
            return results
        self._note(call, reply)
        first = next((each for each in results if isinstance(each, StoreError)), None)
        if first is None:
            if self._refusals:
                self._refusals.note_counted(call.hits, asyncio.get_running_loop().time())
            return results
        if first.reason == READONLY:
            kept = self._second_try.keep(call, results)
            call.pipeline.finish("the server became a replica")
            if kept:
                return None
        elif first.reason.startswith("the store refused"):
            self._refusals.note(first.reason, asyncio.get_running_loop().time())
        self._count_failed(call, results, whole=not isinstance(reply, list))
        return results

    def _note(self, call: ScriptCall, reply: Any) -> None:
        """What a reply tells of the server: how much it can do, and whether it is there."""
        if self._in_flight.limited:
            sent, now = call.batch.deadline - self._options.timeout_s, asyncio.get_running_loop().time()
            self._in_flight.answered(len(call.hits), sent, now)
        first_of_batch, self._judged = call.batch is not self._judged, call.batch
        if not first_of_batch:
            return
        if not isinstance(reply, StoreError):
            self._breaker.succeeded()
        elif reply.reason == LATE:
            self._note_trouble("no answer in time")

    def _note_failed(self, call: ScriptCall, results: Results) -> None:
        self._count_failed(call, results, whole=True)

    def _count_failed(self, call: ScriptCall, results: Results, *, whole: bool) -> None:
        failed = [(hit, each) for hit, each in zip(call.hits, results, strict=True) if isinstance(each, StoreError)]
        self._stats.errors += whole
        self._stats.poisoned += 0 if whole else len(failed)
        self._stats.unknown_outcomes += sum(abs(hit.amount) for hit, error in failed if error.outcome_unknown)

    def _note_trouble(self, reason: str) -> None:
        """A timeout or a loss; the breaker may open."""
        if not self._breaker.failed() or self._closing:
            return
        self._stats.breaker_opened += 1
        self._stats.breaker_open += 1
        _log.warning("the store's breaker is open", address=self._shown, reason=reason)
        if self._live is not None:
            self.pipeline = None
            self._on_state(False)
            self._send_probe()

    def _send_probe(self) -> None:
        """Ask the server that does not answer; the next probe is due whatever comes of it."""
        live, loop = self._live, asyncio.get_running_loop()
        if live is None or not self._breaker.open:
            return
        self._probe_timer = loop.call_at(self._breaker.next_probe(loop.time()), self._send_probe)
        if live.writable:
            live.send(self._options.probe_command(), loop.time() + self._options.timeout_s, partial(self._probed, live))

    def _probed(self, live: RedisPipeline, reply: Any) -> None:
        if live is self._live and self._breaker.open and self._trouble(reply) is None:
            self._close_breaker()
            if self._options.paced:
                self._in_flight.limit(asyncio.get_running_loop().time())
            self.pipeline = live
            self._on_state(True)

    def _close_breaker(self) -> None:
        if self._probe_timer is not None:
            self._probe_timer.cancel()
        if self._breaker.probe_succeeded():
            self._stats.breaker_open -= 1
            _log.warning("the store's breaker is closed", address=self._shown)

    async def _stay_connected(self) -> None:
        startup, loop = self._options.startup, asyncio.get_running_loop()
        started = loop.time()
        wait_s = max(RECONNECT_INITIAL_S, startup.initial_s)
        while True:
            try:
                await self._connect()
            except Exception as error:  # noqa: BLE001 - whatever a server does, the next try may succeed
                self._note_away(str(error) or type(error).__name__, for_people=isinstance(error, RefusedError))
                if not self._ever and 0 < startup.elapsed_max_s < loop.time() - started:
                    reason = f"{self._options.variable}: cannot connect: {self._reason}"
                    self.gave_up.set_exception(StoreError(reason, transient=False))
                    return
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - it spreads reconnects
                most = RECONNECT_MAX_S if self._ever else max(RECONNECT_INITIAL_S, startup.most_s)
                wait_s = min(wait_s * 2, most)
                continue
            since, first = loop.time(), not self._ever
            self._ever = True
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
        if self._ever:
            dial = replace(dial, timeout_s=min(dial.timeout_s, max(RECONNECT_STEP_S, self._options.timeout_s)))
        self._shown = dial.target.shown
        silence_s = max(SILENCE_S_MIN, 5 * self._options.timeout_s)
        pipeline = RedisPipeline(silence_s, self._stats, self._connection_lost)
        self._connection = await open_transport(dial, pipeline)
        try:
            await self._see_it_count(pipeline, dial.timeout_s)
        except BaseException:
            pipeline.close("it cannot count")
            await self._disconnect()
            raise
        self.pipeline = self._live = pipeline
        self._refusals.clear()
        self._stats.cx_total += 1
        self._stats.cx_active += 1
        if not self._away:
            _log.info("connected to the store", address=self._shown)
        else:
            _log.warning("the store is back", address=self._shown)
        self._away, self._reason = False, ""
        self._reasons_told.clear()
        self._close_breaker()
        self._on_state(True)
        self._second_try.send(self, pipeline)

    async def _see_it_count(self, pipeline: RedisPipeline, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        seen: asyncio.Future[Any] = loop.create_future()
        deadline = loop.time() + timeout_s
        if self._options.clock is not None:
            StoreTime(self._options.clock, self._options.timeout_s).follow(pipeline)
        for script in SCRIPTS:
            # Who may not load scripts may still run them: then each one's first call is answered NOSCRIPT.
            pipeline.send((b"SCRIPT", b"LOAD", script.text), deadline, lambda _: None)
        probe = self._options.probe_command()
        pipeline.send(probe, deadline, lambda reply: None if seen.done() else seen.set_result(reply))
        trouble = self._trouble(await seen)
        if trouble is not None:
            raise trouble

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # Not waiting: the stream that redis-py would wait for no longer hears of its transport.
            await connection.disconnect(nowait=True)

    def _connection_lost(self, reason: str) -> None:
        if self._live is not None:
            ready = self.pipeline is not None
            self.pipeline = self._live = None
            self._stats.cx_active -= 1
            self._note_away(reason)
            if ready:
                self._on_state(False)
            self._note_trouble(reason)
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

    def _trouble(self, reply: Any) -> OSError | None:
        """Why a server that answered the probe so cannot count, None where it can."""
        answer = reply[0] if isinstance(reply, list) and reply else reply
        if isinstance(answer, StoreError):
            return OSError(answer.reason)
        # Out of memory is a state of a server that can count, and passes: the callers are told hit by hit.
        if isinstance(answer, hiredis.ReplyError) and not str(answer).startswith(("OOM", *self._options.alive)):
            kind = RefusedError if str(answer).startswith(FOR_PEOPLE) else OSError
            return kind(f"{refusal(answer).reason}: {answer}")
        return None
