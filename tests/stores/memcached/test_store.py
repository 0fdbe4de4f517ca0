import asyncio
import getpass
import shutil
import signal
import zlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dns.exception
import pytest
import pytest_asyncio
import structlog

from deploy.demo.processes import LOOPBACK, Process, start
from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import GCRA, Counted
from ratelimit.limiter.counter_store import COUNT_MAX, Batch, Hit, Results
from ratelimit.stores.memcached.commands import TICK_S, key_of
from ratelimit.stores.memcached.store import MemcachedStore
from tests.limiter.plans import NOW, hit, moment
from tests.stores.contract import DEADLINE_S, FixedPoisonContract, FixedWindowContract, Poison, Ttl, count, results
from tests.stores.memcached.running import Store, freeze, start_memcached, tell
from tests.transport.test_tls import certificate

HIT = hit(b"k")


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Process, int]]:
    """A memcached, fresh for one test."""
    program, port = await start_memcached(tmp_path)
    yield program, port
    program.process.send_signal(signal.SIGCONT)
    await program.stop(signal.SIGKILL)


@pytest_asyncio.fixture
async def held(server: tuple[Process, int]) -> AsyncIterator[Store]:
    """A connected store on it."""
    held = Store(server[1])
    await held.store.start()
    await held.connected()
    yield held
    await held.store.close()


@pytest.fixture
def store(held: Store) -> MemcachedStore:
    """The store of the tests that want no more."""
    return held.store


@pytest.fixture
def ttl(server: tuple[Process, int]) -> Ttl:
    """Reads a key's expiry through an independent connection, without the second that is added for its coarse clock."""

    async def left(name: bytes) -> float | None:
        answer = await tell(server[1], b"mg %b t\r\n" % key_of(name))
        return None if answer.startswith(b"EN") else float(answer.split(b" t")[1]) - TICK_S

    return left


@pytest.fixture
def poison(server: tuple[Process, int]) -> Poison:
    """Makes a key hold a text."""

    async def make(name: bytes) -> None:
        assert await tell(server[1], b"set %b 0 0 4\r\ntext\r\n" % key_of(name)) == b"STORED\r\n"

    return make


class TestMemcached(FixedWindowContract, FixedPoisonContract):
    """The contract on a real memcached."""


async def test_what_needs_one_step_is_refused_or_charged_by_itself(held: Store) -> None:
    """Other algorithms fail alone; STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT is of no effect, as in the reference."""
    hits = [hit(b"k", 3), moment(GCRA, NOW * 1000, name=b"g"), hit(b"k", 9, group=-1), hit(b"free", group=-1)]
    first, refused, over, free = await results(held.store, hits)
    assert isinstance(refused, StoreError)
    assert refused.reason == "memcached counts fixed windows only, and the limit is of another algorithm"
    counts = [(each.count, each.allowed) for each in (first, over, free) if isinstance(each, Counted)]
    assert counts == [(3, True), (12, False), (1, True)]
    assert isinstance((await results(held.store, hits[1:2]))[0], StoreError)


@pytest.mark.one_loop
async def test_what_was_asked_is_told_as_the_reference_tells_it(held: Store, server: tuple[Process, int]) -> None:
    """Look, increment, add: a counter that was not there is a miss and an add; a text in its place is an error."""
    assert await tell(server[1], b"set %b 0 0 4\r\ntext\r\n" % key_of(b"bad")) == b"STORED\r\n"
    await ask(held, hit(b"a"), hit(b"b", 2))
    await ask(held, hit(b"a"), hit(b"bad"), hit(b"look", 0), hit(b"gone", -1))
    await ask(held, hit(b"a", group=1), hit(b"new", group=1))
    told = held.store.asked
    assert (told.increments, told.increment_misses, told.increment_errors, told.adds) == (2, 5, 1, 3)
    assert (told.multigets, told.multiget_errors) == (4, 0)
    assert (told.keys_requested, told.keys_found) == (10, 3)


@pytest.mark.one_loop
class TestSeveral(FixedWindowContract):
    """The contract on three servers at once."""

    @pytest_asyncio.fixture
    async def ports(self, tmp_path: Path) -> AsyncIterator[list[int]]:
        started = [await start_memcached(tmp_path) for _ in range(3)]
        yield [port for _, port in started]
        for program, _ in started:
            await program.stop(signal.SIGKILL)

    @pytest_asyncio.fixture
    async def store(self, ports: list[int]) -> AsyncIterator[MemcachedStore]:
        held = Store(*ports)
        await held.store.start()
        await held.connected()
        yield held.store
        await held.store.close()

    @pytest.fixture
    def ttl(self, ports: list[int]) -> Ttl:
        """Asks the server that gomemcache would ask."""

        async def left(name: bytes) -> float | None:
            key = key_of(name)
            answer = await tell(ports[zlib.crc32(key) % 3], b"mg %b t\r\n" % key)
            return None if answer.startswith(b"EN") else float(answer.split(b" t")[1]) - TICK_S

        return left


async def ask(held: Store, *hits: Hit, timeout_s: float = DEADLINE_S) -> Results:
    """The results of a batch within a deadline."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Results] = loop.create_future()
    held.store.count(Batch(hits, NOW, loop.time() + timeout_s), ended.set_result)
    return await ended


async def test_a_stopped_server_fails_fast_and_never_shifts_answers(held: Store, server: tuple[Process, int]) -> None:
    """Answers come within the deadline; late replies are swallowed, and counts still belong to their keys."""
    await freeze(server[0])
    (result,) = await ask(held, hit(b"k", 2), timeout_s=0.1)
    assert isinstance(result, StoreError)
    assert "did not answer in time" in result.reason
    assert result.outcome_unknown
    server[0].process.send_signal(signal.SIGCONT)
    assert await count(held.store, hit(b"other", 7)) == [7]
    assert await count(held.store, hit(b"k", 0)) == [2]
    assert (held.stats.timeouts, held.stats.unknown_outcomes) == (1, 2)


async def test_a_killed_server_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    """The loss fails what waits, then every batch at once; a new server is used without help, and starts at nothing."""
    program, port = await start_memcached(tmp_path)
    held = Store(port)
    with structlog.testing.capture_logs() as logs:
        await held.store.start()
        await held.connected()
        assert await count(held.store, HIT) == [1]
        await program.stop(signal.SIGKILL)
        await held.connected(False)
        with pytest.raises(StoreError, match="the store is away") as caught:
            await count(held.store, HIT)
        assert not caught.value.outcome_unknown
        program, _ = await start_memcached(tmp_path, port)
        await held.connected()
        assert await count(held.store, HIT) == [1]
        assert (held.stats.cx_total, held.stats.cx_active, held.stats.errors) == (2, 1, 1)
        await held.store.close()
    warned = [each["event"] for each in logs if each["log_level"] == "warning"]
    assert warned == ["the store is away", "the store is back"]
    await program.stop(signal.SIGKILL)


async def test_only_the_dead_server_s_keys_fail(tmp_path: Path, server: tuple[Process, int]) -> None:
    """Ready needs every server once; after that the keys of those that are there are counted."""
    other, port = await start_memcached(tmp_path)
    held = Store(server[1], port)
    await held.store.start()
    await held.connected()
    await other.stop(signal.SIGKILL)
    names = [b"key%d" % number for number in range(20)]
    async with asyncio.timeout(30):
        while held.stats.cx_active == 2:  # noqa: ASYNC110 - the loss of one is no event of the whole
            await asyncio.sleep(0.01)
    got = await ask(held, *(hit(name) for name in names))
    assert [isinstance(each, Counted) for each in got] == [zlib.crc32(name) % 2 == 0 for name in names]
    assert held.states.empty()
    assert all(isinstance(each, StoreError) for each in await ask(held, *(hit(name, group=1) for name in names)))
    left = [each.count for each in await ask(held, *(hit(name, 0) for name in names)) if isinstance(each, Counted)]
    assert left == [1] * sum(zlib.crc32(name) % 2 == 0 for name in names)
    await held.store.close()


async def test_what_cannot_go_out_is_an_error_at_once(held: Store) -> None:
    """Back-pressure of the server, and a store that knows no server yet."""
    (server,) = held.store._servers
    assert server._pipeline is not None
    server._pipeline.pause_writing()
    with pytest.raises(StoreError, match="does not take more"):
        await count(held.store, HIT)
    server._pipeline.resume_writing()
    unresolved = Store(memcache_srv="_memcache._tcp.example.org")
    with pytest.raises(StoreError, match="the store is away"):
        await count(unresolved.store, HIT)


async def test_saturated_counts_are_set_back(held: Store, server: tuple[Process, int]) -> None:
    """Memcached's numbers go on to 2**64: what went beyond ours is taken back, and no more."""
    await count(held.store, hit(b"k", COUNT_MAX - 1))
    await count(held.store, hit(b"k", 5), hit(b"k", 7))
    await count(held.store, hit(b"other"))
    assert b"\r\n%d\r\n" % COUNT_MAX in await tell(server[1], b"mg k v\r\nmn\r\n", b"MN\r\n")


async def test_closing_fails_what_waits(held: Store, server: tuple[Process, int]) -> None:
    """Nobody waits for a store that is gone, groups included."""
    await freeze(server[0])
    answers = list[Results]()
    deadline = asyncio.get_running_loop().time() + 9
    held.store.count(Batch([HIT], NOW, deadline), answers.append)
    held.store.count(Batch([hit(b"g", group=1)], NOW, deadline), answers.append)
    await asyncio.sleep(0)
    await held.store.close()
    assert [len(each) for each in answers] == [1, 1]
    assert all("lost the connection" in str(each[0]) for each in answers)


async def test_groups_and_single_hits_of_a_batch_keep_their_order(store: MemcachedStore) -> None:
    """A group sees what stands before it in its batch, and what stands after sees the group."""
    got = await results(store, [hit(b"k", 3), hit(b"k", 2, limit=5, group=1), hit(b"k", 1)])
    assert [each.count for each in got if isinstance(each, Counted)] == [3, 5, 6]


async def test_what_is_late_is_not_begun(held: Store, server: tuple[Process, int]) -> None:
    """A batch of several round trips ends with the one that took all of its time: the rest is not sent, so is known."""
    await freeze(server[0])
    got = await ask(held, hit(b"grouped", group=1), hit(b"alone"), timeout_s=0.05)
    assert [isinstance(each, StoreError) and not each.outcome_unknown for each in got] == [True, True]
    server[0].process.send_signal(signal.SIGCONT)
    assert await count(held.store, hit(b"grouped", 0)) == await count(held.store, hit(b"alone", 0)) == [0]
    assert held.stats.unknown_outcomes == 0


async def test_refusals_are_told_when_they_begin_and_end(held: Store, poison: Poison) -> None:
    """One line for a reason however many hits it meets, and one when hits are counted again for a while."""
    await poison(b"text")
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            await ask(held, hit(b"text"))
        held.store._refusals.note("the store refused: SERVER_ERROR", asyncio.get_running_loop().time() - 60)
        await count(held.store, hit(b"k"))
    told = [(each["event"].partition(";")[0], each["reason"]) for each in logs]
    assert told == [
        ("hits cannot be counted", "the store refused: CLIENT_ERROR"),
        ("hits cannot be counted", "the store refused: SERVER_ERROR"),
        ("hits are counted again", "the store refused: SERVER_ERROR"),
    ]


class Records:
    """A resolver that answers what it is told; each answer wakes the one who waits."""

    def __init__(self, *answers: Sequence[int] | dns.exception.DNSException) -> None:
        self.answers = list(answers)
        self.asked = asyncio.Event()

    async def __call__(self, name: str) -> Sequence[Any]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if len(self.answers) == 1:
            self.asked.set()
        if isinstance(answer, dns.exception.DNSException):
            raise answer
        return [SimpleNamespace(priority=1, weight=1, target=f"{LOOPBACK}.", port=port) for port in answer]


async def test_srv_records_are_followed(tmp_path: Path, server: tuple[Process, int]) -> None:
    """Found after a failure, changed at a refresh, kept where a refresh fails: one line each."""
    other, port = await start_memcached(tmp_path)
    both = sorted((server[1], port))
    nothing = dns.exception.DNSException()  # type: ignore[no-untyped-call]
    records = Records(nothing, nothing, [server[1]], [server[1]], both, nothing)
    name = "_memcache._tcp.example.org"
    held = Store(memcache_srv=name, memcache_srv_refresh=0.01, resolve=records)
    with structlog.testing.capture_logs() as logs:
        await held.store.start()
        await held.connected()
        await asyncio.wait_for(records.asked.wait(), 30)
        async with asyncio.timeout(30):
            while held.stats.cx_active != 2:  # noqa: ASYNC110 - the second server is no event of the whole
                await asyncio.sleep(0.01)
        assert held.store.addresses == [(LOOPBACK, each) for each in both]
        assert await count(held.store, HIT) == [1]
        records.answers[:] = [[port]]
        async with asyncio.timeout(30):
            while held.stats.cx_active != 1:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
        await held.store.close()
    warned = [each["event"] for each in logs if each["log_level"] == "warning"]
    lost, found = "the store's servers cannot be resolved", "the store's servers are resolved again"
    changed = "the store's servers changed"
    assert warned == [lost, found, changed, lost, changed, found]
    await other.stop(signal.SIGKILL)


async def test_without_a_refresh_names_are_resolved_once(server: tuple[Process, int]) -> None:
    """MEMCACHE_SRV_REFRESH=0."""
    held = Store(memcache_srv="_memcache._tcp.example.org", resolve=Records([server[1]]))
    await held.store.start()
    await held.connected()
    assert held.store._resolver is not None
    await asyncio.wait_for(held.store._resolver, 30)
    assert await count(held.store, HIT) == [1]
    await held.store.close()


async def test_tls_checks_the_server(tmp_path: Path) -> None:
    """With its authority it counts, and with MEMCACHE_TLS_SKIP_HOSTNAME_VERIFICATION whatever its name is."""
    cert, key = certificate(tmp_path, "elsewhere", "DNS:elsewhere")
    Path(key).chmod(0o644)  # memcached runs as another user
    options = ("-Z", "-o", f"ssl_chain_cert={cert},ssl_key={key}")
    program, port = await start_memcached(tmp_path, None, *options)
    given = {"memcache_tls": True, "memcache_tls_cacert": cert}
    trusting = Store(port, memcache_tls_skip_hostname_verification=True, **given)
    strict = Store(port, **given)
    try:
        await strict.store.start()
        await trusting.store.start()
        await trusting.connected()
        async with asyncio.timeout(30):
            while not strict.store._servers[0]._away:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert "mismatch" in strict.store._servers[0]._reason
    finally:
        await strict.store.close()
        await trusting.store.close()
        await program.stop(signal.SIGKILL)


async def test_a_socket_s_path_is_an_address(tmp_path: Path) -> None:
    """As the reference's client has it: whatever holds a slash."""
    path = tmp_path / "memcached.sock"
    binary = shutil.which("memcached")
    if binary is None:
        pytest.skip("memcached is not installed (Debian: apt-get install memcached)")
    # As who runs the tests: nobody else may look into the folder.
    program = await start("memcached", [binary, "-s", str(path), "-u", getpass.getuser(), "-t", "1"], tmp_path)
    held = Store(memcache_host_port=str(path))
    try:
        await held.store.start()
        await held.connected()
        assert await count(held.store, HIT, HIT) == [1, 2]
    finally:
        await held.store.close()
        await program.stop(signal.SIGKILL)
