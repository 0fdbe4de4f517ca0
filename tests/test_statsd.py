import asyncio

from ratelimit.metrics import Metrics
from ratelimit.settings import MetricsSettings
from ratelimit.statsd import StatsdSink, tags_suffix


async def test_differences_are_sent_a_line_each() -> None:
    """Counters go out as what was added since the flush before, gauges as they are."""
    received = asyncio.Queue[str]()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            received.put_nowait(line.decode().rstrip())
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    metrics = Metrics()
    settings = MetricsSettings(
        use_statsd=True,
        statsd_host="127.0.0.1",
        statsd_port=port,
        extra_tags={"foo": "bar", "a": "b.c"},
        stats_flush_interval=60,
    )
    sink = StatsdSink(settings, metrics)
    await sink.start()
    metrics.config_load_success = 2
    await sink.flush()
    metrics.config_load_success = 3
    await sink.close()
    name = "ratelimit.service.config_load_success.__a=b_c.__foo=bar"
    lines = [await asyncio.wait_for(received.get(), 30) for _ in range(4)]
    assert [line for line in lines if line.endswith("|c")] == [f"{name}:2|c", f"{name}:1|c"]
    server.close()


async def test_an_absent_statsd_loses_nothing() -> None:
    """What could not be sent goes out with the next flush."""
    metrics = Metrics()
    sink = StatsdSink(MetricsSettings(use_statsd=True, statsd_host="127.0.0.1", statsd_port=1), metrics)
    metrics.redis_error = 1
    await sink.flush()
    await sink.flush()
    assert sink._sent == {}


def test_no_tags_no_suffix() -> None:
    """Names stay as they are without EXTRA_TAGS."""
    assert tags_suffix({}) == ""
