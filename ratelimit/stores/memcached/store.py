"""Counters spread over memcached servers: create-with-expiry and increment in one command, nothing sent twice.

A key's server is its CRC-32 modulo their number, as gomemcache has it. A lost server is opened again in the
background; meanwhile the hits on its keys fail at once, and all others are counted.
"""

import asyncio
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby

import structlog

from ratelimit.errors import StoreError
from ratelimit.lifetime import end_tasks
from ratelimit.limiter.algorithm import FIXED_WINDOW
from ratelimit.limiter.counter_store import COUNT_MAX, UNGROUPED, Batch, Hit, Results
from ratelimit.metrics import MemcacheStats, StoreStats
from ratelimit.settings import MemcacheSettings
from ratelimit.stores.groups import Answer, Result, charge_groups
from ratelimit.stores.memcached.addresses import Resolve, resolve_srv, srv_addresses
from ratelimit.stores.memcached.commands import command_of, key_of, look, take_back
from ratelimit.stores.memcached.server import RECONNECT_INITIAL_S, Address, Server
from ratelimit.stores.refusals import LATE, REFUSED, Refusals

SILENCE_S = 1.0
RESOLVE_RETRY_S_MAX = 5.0

Command = tuple[bytes, bytes]
"""The key, by which the server is chosen, and the command."""

_NOT_HERE = StoreError("memcached counts fixed windows only, and the limit is of another algorithm")

_log = structlog.get_logger(__name__)


class MemcachedStore:
    """A `CounterStore` on memcached. `on_state` is called with True and False as it becomes ready or is lost.

    Ready at first means that every server counted; from then on, that one of them is there. `prefix` stands before the
    probe's key, as it does before every counter.
    """

    def __init__(
        self,
        settings: MemcacheSettings,
        stats: StoreStats,
        on_state: Callable[[bool], None],
        prefix: str = "",
        resolve: Resolve = resolve_srv,
    ) -> None:
        self._settings = settings
        self.asked = MemcacheStats()
        self._stats = stats
        self._on_state = on_state
        self._probe = key_of(f"{prefix}rl:ready".encode())
        self._resolve = resolve
        self._tls = settings.tls
        self._servers: list[Server] = []
        self._was_ready = self._ready = False
        self._resolving = ""
        self._refusals = Refusals()
        self._resolver: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        # It never does: a server that is away is tried for ever.
        self.gave_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def addresses(self) -> list[Address]:
        """The servers, in the order that keys are spread in."""
        return [server.address for server in self._servers]

    async def start(self) -> None:
        """Connect in the background and stay connected."""
        if self._settings.memcache_srv:
            self._resolver = asyncio.create_task(self._stay_resolved())
        else:
            self._use(self._settings.addresses)

    async def close(self) -> None:
        """Close; what waits is failed."""
        await end_tasks(self._resolver)
        await asyncio.gather(*(server.close() for server in self._servers))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def count(self, batch: Batch, done: Callable[[Results], None]) -> None:
        """Count a batch; see `CounterStore`. What wants a look and a charge in one step, memcached cannot do."""
        hits = batch.hits
        other = [hit.key.algorithm is not FIXED_WINDOW for hit in hits]
        if any(other):
            self._count_the_rest(batch, other, done)
        elif all(hit.group <= UNGROUPED for hit in hits):
            self._charge(
                [(hit, hit.amount) for hit in hits], batch, lambda answers: done(_results(hits, answers, batch.now))
            )
        else:
            self._keep(asyncio.create_task(self._count_in_stages(batch, done)))

    def _count_the_rest(self, batch: Batch, other: Sequence[bool], done: Callable[[Results], None]) -> None:
        """Refuse the hits of algorithms that are not for memcached, and count those between them."""
        self._stats.poisoned += sum(other)
        rest = [hit for hit, strange in zip(batch.hits, other, strict=True) if not strange]

        def finish(results: Results) -> None:
            following = iter(results)
            done([_NOT_HERE if strange else next(following) for strange in other])

        if rest:
            self.count(Batch(rest, batch.now, batch.deadline), finish)
        else:
            finish([])

    async def _count_in_stages(self, batch: Batch, done: Callable[[Results], None]) -> None:
        """Groups want two round trips, and the hits of a batch are counted in their order: one stage after another."""
        results: list[Result] = []
        for grouped, members in groupby(batch.hits, key=lambda hit: hit.group > UNGROUPED):
            hits = list(members)
            if grouped:
                look, charge = partial(self._looked, batch), partial(self._charged, batch)
                results += await charge_groups(hits, batch.now, look, charge, partial(_in_time, batch))
            elif not _in_time(batch):
                results += [StoreError(LATE)] * len(hits)
            else:
                answers = await self._charged(batch, [(hit, hit.amount) for hit in hits])
                results += _results(hits, answers, batch.now)
        done(results)

    async def _looked(self, batch: Batch, names: Sequence[bytes]) -> list[Answer]:
        got: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        keys = [key_of(name) for name in names]
        self._exchange([(key, look(key)) for key in keys], batch.deadline, got.set_result)
        answers = await got
        found, failed = (sum(isinstance(answer, kind) for answer in answers) for kind in (int, StoreError))
        self.asked.asked(found, len(answers) - found - failed, failed)
        return answers

    async def _charged(self, batch: Batch, asked: Sequence[tuple[Hit, int]]) -> list[Answer]:
        got: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._charge(asked, batch, got.set_result)
        return await got

    def _charge(self, asked: Sequence[tuple[Hit, int]], batch: Batch, done: Callable[[list[Answer]], None]) -> None:
        """Count hits, each by the amount beside it."""
        commands = []
        for hit, amount in asked:
            key = key_of(hit.key.name)
            commands.append((key, command_of(key, amount, hit.key.expire_s, batch.now)))

        def finish(answers: list[Answer]) -> None:
            self._note_asked(asked, answers)
            over: list[Command] = []
            for (key, _), (_, amount), answer in zip(commands, asked, answers, strict=True):
                if isinstance(answer, int):
                    # Each takes back what it added itself beyond the end, so together they come to stand on it.
                    if answer > COUNT_MAX and amount > 0:
                        over.append((key, take_back(key, min(amount, answer - COUNT_MAX))))
                elif answer is not None and answer.outcome_unknown:
                    self._stats.unknown_outcomes += abs(amount)
            self._note_refusals(asked, answers)
            if over:
                self._exchange(over, batch.deadline, lambda _: None)
            done(answers)

        self._exchange(commands, batch.deadline, finish)

    def _note_asked(self, asked: Sequence[tuple[Hit, int]], answers: Sequence[Answer]) -> None:
        """A counter that stands at what was added now is taken for a new one."""
        stats = self.asked
        failed = sum(isinstance(answer, StoreError) for answer in answers)
        missed = sum(
            answer is None or (isinstance(answer, int) and answer == amount)
            for (_, amount), answer in zip(asked, answers, strict=True)
        )
        found = len(answers) - failed - missed
        stats.asked(found, missed, failed)
        stats.increments += found
        stats.increment_misses += missed
        stats.increment_errors += failed
        stats.adds += sum(answer is not None for answer in answers) - failed - found

    def _exchange(self, commands: Sequence[Command], deadline: float, done: Callable[[list[Answer]], None]) -> None:
        """Send each command to its server, in order; `done` gets one answer for each."""
        servers = self._servers
        if not servers:
            self._stats.errors += 1
            done([StoreError("the store is away")] * len(commands))
            return
        places: dict[int, list[int]] = {}
        for place, (key, _) in enumerate(commands):
            places.setdefault(zlib.crc32(key) % len(servers), []).append(place)
        answers: list[Answer] = [None] * len(commands)
        missing = len(places)

        def put(mine: list[int], got: list[Answer]) -> None:
            nonlocal missing
            for place, answer in zip(mine, got, strict=True):
                answers[place] = answer
            self._note(got)
            missing -= 1
            if missing == 0:
                done(answers)

        self._stats.batches += missing
        for server, mine in places.items():
            servers[server].send([commands[place][1] for place in mine], deadline, partial(put, mine))

    def _note(self, answers: Sequence[Answer]) -> None:
        failed = sum(isinstance(answer, StoreError) for answer in answers)
        if failed == len(answers):
            self._stats.errors += 1
        else:
            self._stats.poisoned += failed

    def _note_refusals(self, asked: Sequence[tuple[Hit, int]], answers: Sequence[Answer]) -> None:
        refused = {each.reason for each in answers if isinstance(each, StoreError)}
        now = asyncio.get_running_loop().time()
        for reason in refused:
            if reason.startswith(REFUSED):
                self._refusals.note(reason, now)
        if self._refusals and not refused:
            self._refusals.note_counted([hit for hit, amount in asked if amount], now)

    async def _stay_resolved(self) -> None:
        """Resolve MEMCACHE_SRV until it is known, and again each MEMCACHE_SRV_REFRESH; what was known last is kept."""
        refresh_s, wait_s = self._settings.memcache_srv_refresh, RECONNECT_INITIAL_S
        while True:
            try:
                self._use(await srv_addresses(self._settings.memcache_srv, self._resolve))
            except OSError as error:
                self._note_resolving(str(error))
                wait_s = min(wait_s * 2, RESOLVE_RETRY_S_MAX)
            else:
                self._note_resolving("")
                if not refresh_s:
                    return
                wait_s = RECONNECT_INITIAL_S
            known = self._servers and refresh_s
            await asyncio.sleep(refresh_s if known else wait_s)

    def _note_resolving(self, reason: str) -> None:
        """One line when the servers' names cannot be found, and one when they are again."""
        if bool(reason) != bool(self._resolving):
            if reason:
                _log.warning("the store's servers cannot be resolved", reason=reason)
            else:
                _log.warning("the store's servers are resolved again")
        self._resolving = reason

    def _use(self, addresses: Sequence[Address]) -> None:
        """Spread keys over these servers from now on; those that stay keep their connections."""
        before = {server.address: server for server in self._servers}
        if addresses == list(before):
            return
        if before:
            _log.warning("the store's servers changed", servers=len(addresses), before=len(before))
        self._servers = [
            before.pop(address)
            if address in before
            else Server(address, self._probe, SILENCE_S, self._stats, self._changed, tls=self._tls)
            for address in addresses
        ]
        for server in self._servers:
            server.start()
        for server in before.values():
            self._keep(asyncio.create_task(server.close()))
        self._changed()

    def _changed(self) -> None:
        self._refusals.clear()
        there = [server.connected for server in self._servers]
        ready = any(there) if self._was_ready else all(there)
        if ready != self._ready:
            self._ready = ready
            self._was_ready |= ready
            self._on_state(ready)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _in_time(batch: Batch) -> bool:
    return asyncio.get_running_loop().time() < batch.deadline


def _results(hits: Sequence[Hit], answers: Sequence[Answer], now: int) -> list[Result]:
    results: list[Result] = []
    for hit, answer in zip(hits, answers, strict=True):
        if isinstance(answer, StoreError):
            results.append(answer)
        else:
            count = min(answer or 0, COUNT_MAX)
            results.append(hit.key.algorithm.judge(count, hit.limit, hit.key.reset_s(now)))
    return results
