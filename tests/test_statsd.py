import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
import uvloop

from ratelimit import statsd
from ratelimit.metrics import Metrics
from ratelimit.settings import MetricsSettings
from ratelimit.statsd import Differences, StatsdSink, tagged


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """Both loops: their transports keep what they have not sent in different ways."""
    return request.param


class Receiver:
    """A statsd that keeps the lines it got."""

    def __init__(self) -> None:
        self.lines = asyncio.Queue[str]()
        self.port = 0

    async def start(self, port: int = 0) -> None:
        self.server = await asyncio.start_server(self._listen, "127.0.0.1", port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        async for line in reader:
            self.lines.put_nowait(line.decode().rstrip())
        writer.close()

    async def counters(self, number: int) -> list[str]:
        """The next `number` lines of counters."""
        found: list[str] = []
        while len(found) < number:
            line = await asyncio.wait_for(self.lines.get(), 30)
            found += [line] if line.endswith("|c") else []
        return found


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Running."""
    receiver = Receiver()
    await receiver.start()
    yield receiver
    receiver.server.close()


def settings(port: int, **given: object) -> MetricsSettings:
    """Statsd on a loopback port, flushed by hand."""
    values = {"use_statsd": True, "statsd_host": "127.0.0.1", "statsd_port": port, "stats_flush_interval": 60}
    return MetricsSettings.model_validate({**values, **given})


def lines_of(differences: Differences, metrics: Metrics) -> list[str]:
    """What would be sent, noted as sent."""
    lines = [line for line in differences.lines(metrics.snapshot()) if line.text]
    statsd.note(lines)
    return [line.text for line in lines]


async def test_differences_are_sent_a_line_each(receiver: Receiver) -> None:
    """Counters go out as what was added since the flush before."""
    metrics = Metrics()
    sink = StatsdSink(settings(receiver.port, extra_tags={"foo": "bar", "a": "b.c"}), metrics)
    await sink.start()
    metrics.config_load_success = 2
    await sink.flush()
    metrics.config_load_success = 3
    await sink.close()
    name = "ratelimit.service.config_load_success.__a=b_c.__foo=bar"
    assert await receiver.counters(2) == [f"{name}:2|c", f"{name}:1|c"]


async def test_what_is_on_time_is_sent_by_itself(receiver: Receiver) -> None:
    """Every STATS_FLUSH_INTERVAL."""
    metrics = Metrics()
    sink = StatsdSink(settings(receiver.port, stats_flush_interval=0.01), metrics)
    await sink.start()
    metrics.redis_error = 4
    assert await receiver.counters(1) == ["ratelimit.service.call.should_rate_limit.redis_error:4|c"]
    await sink.close()


def test_gauges_are_told_as_they_are() -> None:
    """Each time, whether they changed or not."""
    metrics, differences = Metrics(), Differences(tagged(""))
    metrics.store.cx_active = 2
    for _ in range(2):
        assert "ratelimit.redis_pool.cx_active:2|g" in lines_of(differences, metrics)


def test_the_response_time_is_a_timer_in_milliseconds() -> None:
    """One line a bucket: the mean of its new calls, and a sample rate that tells how many."""
    metrics, differences = Metrics(), Differences(tagged(".__a=b"))
    metrics.should_rate_limit.observe(0.002, calls=6)
    metrics.should_rate_limit.observe(0.3)
    name = "ratelimit_server.ShouldRateLimit.response_time.__a=b"
    shown = [line for line in lines_of(differences, metrics) if "|ms" in line]
    assert shown == [f"{name}:2.000000|ms|@0.166666666", f"{name}:300.000000|ms"]
    metrics.should_rate_limit.observe(0.0015)
    assert [line for line in lines_of(differences, metrics) if "|ms" in line] == [f"{name}:1.500000|ms"]


def test_a_domain_cannot_forge_a_line() -> None:
    """A line end in a name stays within its line."""
    metrics = Metrics()
    metrics.domain_not_found("d\nforged:1|c\nx", 1)
    metrics.limit("d\rforged:1|c", configured=False).total_hits += 1
    for line in lines_of(Differences(tagged("")), metrics):
        assert line.startswith(("ratelimit.", "ratelimit_server."))
        assert len(line.splitlines()) == 1
        assert line.count("|") == line.count(":") == 1


def test_a_series_that_went_and_came_back_starts_anew() -> None:
    """A counter below what was told is a new one; a negative amount is never sent."""
    differences, before, after = Differences(tagged("")), Metrics(), Metrics()
    before.limit("d.k").total_hits = 100
    lines_of(differences, before)
    after.limit("d.k").total_hits = 3
    assert "ratelimit.service.rate_limit.d.k.total_hits:3|c" in lines_of(differences, after)
    assert lines_of(differences, Metrics())
    assert differences._limits == {}


async def test_an_absent_statsd_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """What could not be sent goes out when it comes; one line says that it is away, and one that it is back."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    metrics, receiver = Metrics(), Receiver()
    sink = StatsdSink(settings(port), metrics)
    metrics.redis_error = 1
    await sink.flush()
    await sink.flush()
    await receiver.start(port)
    metrics.redis_error = 3
    await sink.flush()
    await sink.close()
    assert await receiver.counters(1) == ["ratelimit.service.call.should_rate_limit.redis_error:3|c"]
    shown = capsys.readouterr().out
    assert (shown.count("statsd cannot be reached"), shown.count("statsd is reached again")) == (1, 1)
    receiver.server.close()


async def test_a_receiver_that_restarts_is_connected_to_anew(receiver: Receiver) -> None:
    """Its end of the connection is noticed before anything is written into it."""
    metrics = Metrics()
    sink = StatsdSink(settings(receiver.port), metrics)
    await sink.flush()
    assert await asyncio.wait_for(receiver.lines.get(), 30)
    receiver.writer.close()
    assert sink._reader is not None
    await sink._reader.read()
    metrics.redis_error = 1
    await sink.flush()
    assert await receiver.counters(1) == ["ratelimit.service.call.should_rate_limit.redis_error:1|c"]
    await sink.close()


def test_nothing_is_told_twice_after_a_write_timeout(
    runner: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that stops reading for a while: what it got, over all connections, is never more than was counted."""
    monkeypatch.setattr(statsd, "WRITE_TIMEOUT_S", 0.1)
    with asyncio.Runner(loop_factory=runner) as loop:
        told, counted = loop.run(silent_then_reading())
    assert all(told.get(name, 0) <= 10 for name in told)
    # All but the packet that was on its way when the time was over.
    assert counted - 10 * statsd.PACKET_BYTES // 60 <= sum(told.values()) <= counted


async def silent_then_reading() -> tuple[dict[str, int], int]:
    """What a receiver was told of 20,000 limits with 10 hits each, and how many hits there were."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.setblocking(False)
    metrics = Metrics()
    for number in range(20_000):
        metrics.limit(f"domain.{'x' * 150}{number}").total_hits = 10
    sink = StatsdSink(settings(listener.getsockname()[1]), metrics)
    await sink.flush()
    assert sink._away
    first, _ = await loop.sock_accept(listener)
    accepting = asyncio.ensure_future(loop.sock_accept(listener))
    flushing = asyncio.ensure_future(sink.flush())
    second, _ = await accepting
    data = [asyncio.ensure_future(read_all(sock)) for sock in (first, second)]
    await flushing
    await sink.close()
    texts = [await one for one in data]
    listener.close()
    return amounts(texts), 200_000


async def read_all(sock: socket.socket) -> bytes:
    """All bytes until the end."""
    loop, found = asyncio.get_running_loop(), bytearray()
    sock.setblocking(False)
    try:
        while data := await loop.sock_recv(sock, 65536):
            found += data
    except ConnectionResetError:
        pass
    sock.close()
    return bytes(found)


def amounts(texts: list[bytes]) -> dict[str, int]:
    """By name, over whole lines only."""
    told: dict[str, int] = {}
    for text in texts:
        for line in text.decode().split("\n")[:-1]:
            name, _, rest = line.partition(":")
            if "total_hits" in name:
                told[name] = told.get(name, 0) + int(rest.removesuffix("|c"))
    return told


def test_shares_of_divided_limits_are_gauges() -> None:
    """As they stand, with each flush."""
    metrics = Metrics()
    metrics.shares.add("d.a", (60, 0, 0, 0, 0, 1, 0))
    differences = Differences(lambda name, value: f"{name}:{value}")
    for _ in range(2):
        found = lines_of(differences, metrics)
        assert "ratelimit.quota.limit.d.a.assigned_per_minute:60|g" in found
        assert "ratelimit.quota.limit.d.a.envoys:1|g" in found
