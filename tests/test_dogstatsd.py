import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ratelimit import dogstatsd
from ratelimit.dogstatsd import DATAGRAM_BYTES, DogStatsdSink, extra_tags, mogrified, tagged
from ratelimit.metrics import Metrics
from ratelimit.settings import DogStatsdSettings, MetricsSettings, Mogrifier, Settings

LEVELS = Mogrifier(
    re.compile(r"^ratelimit\.service\.rate_limit\.(.*)\.(.*)\.(.*)$"),
    "limits.$3",
    {"dom": "$1", "key": "$2", "w": "$9"},
)


class Receiver(asyncio.DatagramProtocol):
    """An agent that keeps the datagrams it got."""

    def __init__(self) -> None:
        self.datagrams = asyncio.Queue[str]()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.datagrams.put_nowait(data.decode())

    async def lines(self, wanted: str) -> list[str]:
        """Lines up to the one that begins with `wanted`."""
        found: list[str] = []
        while not found or not found[-1].startswith(wanted):
            found += (await asyncio.wait_for(self.datagrams.get(), 30)).splitlines()
        return found


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, int]]:
    """Running, and its port."""
    loop = asyncio.get_running_loop()
    transport, receiver = await loop.create_datagram_endpoint(Receiver, local_addr=("127.0.0.1", 0))
    yield receiver, transport.get_extra_info("sockname")[1]
    transport.close()


def settings(port: int, mogrifiers: tuple[Mogrifier, ...] = (), **given: object) -> Settings:
    """DogStatsD on a loopback port, flushed by hand."""
    values = {"statsd_host": "127.0.0.1", "statsd_port": port, "stats_flush_interval": 60, **given}
    dog_statsd = DogStatsdSettings(use_dog_statsd=True, dd_env="prod")
    return Settings(metrics=MetricsSettings.model_validate(values), dog_statsd=dog_statsd, mogrifiers=mogrifiers)


def test_a_line_is_what_the_reference_sends() -> None:
    """Captured from envoyproxy/ratelimit: tags behind the value, sorted, dots in their values as `_`."""
    write = tagged((), extra_tags({"b": "x.y", "a": "1"}), ())
    name = "ratelimit.service.rate_limit.d.k_v.over_limit"
    assert write(name, "3|c") == f"{name}:3|c|#a:1,b:x_y"
    assert tagged((), (), ())(name, "10|g") == f"{name}:10|g"
    add = "ratelimit.memcache.add.__code=success"
    assert write(add, "1|c") == "ratelimit.memcache.add:1|c|#a:1,b:x_y,code:success"


@pytest.mark.parametrize(
    ("name", "changed", "tags"),
    [
        ("ratelimit.service.rate_limit.d.k_v.over_limit", "limits.over_limit", ("dom:d", "key:k_v", "w:$9")),
        ("ratelimit.service.rate_limit.d.l1.l2.total_hits", "limits.total_hits", ("dom:d.l1", "key:l2", "w:$9")),
        ("ratelimit.localcache.hitCount", "ratelimit.localcache.hitCount", ()),
    ],
)
def test_a_mogrifier_makes_tags_of_a_name(name: str, changed: str, tags: tuple[str, ...]) -> None:
    """As the reference does: greedy parts, a part that is not there stays as written, no match changes nothing."""
    assert mogrified(name, (LEVELS,)) == (changed, tags)


def test_the_first_mogrifier_that_matches_counts() -> None:
    """In the order of USE_DOG_STATSD_MOGRIFIERS, anywhere in the name; a part that took no part is empty."""
    first, second = Mogrifier(re.compile("hits(x)?"), "[$0$1]"), Mogrifier(re.compile("total"), "second")
    assert mogrified("a.total_hits", (first, second)) == ("[hits]", ())
    assert mogrified("a.total", (first, second)) == ("second", ())


async def test_tags_come_in_their_order(receiver: tuple[Receiver, int]) -> None:
    """Datadog's own, EXTRA_TAGS, then the mogrifier's; a flush tells what was added."""
    agent, port = receiver
    metrics = Metrics()
    sink = DogStatsdSink(settings(port, (LEVELS,), extra_tags={"zone": "eu"}), metrics)
    await sink.start()
    metrics.limit("d.k").total_hits = 2
    metrics.should_rate_limit.observe(0.002, calls=2)
    await sink.flush()
    metrics.limit("d.k").total_hits = 5
    await sink.close()
    lines = await agent.lines("limits.total_hits:3")
    assert "limits.total_hits:2|c|#env:prod,zone:eu,dom:d,key:k,w:$9" in lines
    assert "ratelimit_server.ShouldRateLimit.total_requests:2|c|#env:prod,zone:eu" in lines
    assert "ratelimit_server.ShouldRateLimit.response_time:2.000000|ms|@0.500000000|#env:prod,zone:eu" in lines


async def test_lines_say_where_they_come_from(receiver: tuple[Receiver, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """At their end, where this is a container."""
    agent, port = receiver
    monkeypatch.setattr(dogstatsd, "container", lambda: "in-7")
    sink = DogStatsdSink(settings(port), Metrics())
    await sink.flush()
    await sink.end()
    lines = await agent.lines("ratelimit.grpc.cx_active")
    assert all(line.endswith("|#env:prod|c:in-7") for line in lines)


async def test_a_datagram_holds_whole_lines(receiver: tuple[Receiver, int]) -> None:
    """So many as fit into one, each with its end."""
    agent, port = receiver
    metrics = Metrics()
    for number in range(60):
        metrics.limit(f"d.{'é' * 40}{number}").total_hits = 1
    sink = DogStatsdSink(settings(port), metrics)
    await sink.flush()
    await sink.end()
    seen = 0
    while seen < 60:
        datagram = await asyncio.wait_for(agent.datagrams.get(), 30)
        assert datagram.endswith("\n")
        assert len(datagram.encode()) <= DATAGRAM_BYTES
        seen += datagram.count(".total_hits:1|c|#env:prod\n")
    assert seen == 60


async def test_a_host_that_is_no_host_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing else suffers, and what was counted is kept."""
    metrics = Metrics()
    sink = DogStatsdSink(settings(1, statsd_host="no host"), metrics)
    metrics.redis_error = 1
    await sink.flush()
    await sink.close()
    assert capsys.readouterr().out.count("DogStatsD cannot be reached") == 1
    assert sink._differences._singles == {}


async def test_nobody_there_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The network says so, later."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Receiver, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    transport.abort()
    sink = DogStatsdSink(settings(port), Metrics())
    async with asyncio.timeout(30):
        while not sink._away:
            await sink.flush()
    await sink.close()
    assert capsys.readouterr().out.count("DogStatsD cannot be reached") == 1
