import aiohttp

from loadtest.collector import Collector


async def test_batches_are_counted() -> None:
    """Each is taken, and its bytes are counted."""
    collector = Collector()
    runner = await collector.start(0)
    host, port = runner.addresses[0][:2]
    async with aiohttp.ClientSession() as session:
        for data in (b"12345", b"678"):
            assert (await session.post(f"http://{host}:{port}/v1/traces", data=data)).status == 200
    await runner.cleanup()
    assert (collector.requests, collector.octets) == (2, 8)
