import asyncio

import redis.asyncio

from deploy.demo.processes import free_port
from loadtest.narrow_link import narrow_link


async def test_all_bytes_pass(valkey_port: int) -> None:
    """Slowly one way, as they come the other; and the link ends with its connections open."""
    async with narrow_link(valkey_port, 1_000_000) as port, redis.asyncio.Redis(port=port) as client:
        await client.set("k", "v" * 5_000)
        assert await client.get("k") == b"v" * 5_000


async def test_it_ends_as_its_sides_do() -> None:
    """A server that is not there is the end of the connection, and no more."""
    async with narrow_link(free_port(), 1_000_000) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
