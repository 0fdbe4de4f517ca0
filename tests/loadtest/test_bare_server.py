import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from loadtest.bare_server import HeaderBlocks, charges_of, fields, varint
from loadtest.header_blocks import blocks
from loadtest.raw_client import Load
from loadtest.request_frames import KINDS, request
from loadtest.servers import PROOF, Program, answers, programs, start_server
from tests.loadtest.test_raw_client import ran


def test_messages_are_read_and_written() -> None:
    """A request's descriptors become what they charge; numbers are protobuf's."""
    assert [varint(number) for number in (0, 127, 300)] == [b"\0", b"\x7f", b"\xac\x02"]
    assert fields(b"\x0a\x01a\x12\x02bc") == [(1, b"a"), (2, b"bc")]
    charges = charges_of(request(KINDS["ten"]))
    assert [charge.key.rsplit(b"_", 1)[0] for charge in charges] == [b"bench_k%d_gold" % n for n in range(10)]
    assert charges_of(request(KINDS["over"]))[0].limit == 1


def test_header_blocks_are_known_again() -> None:
    """By their bytes, and around what changes; other methods are refused."""
    known, changing = HeaderBlocks(), blocks(changing=True)
    assert [known.timeout_s(next(changing)) for _ in range(5)] == [5] * 5
    assert len(known._known) == 1
    with pytest.raises(ValueError, match="only ShouldRateLimit"):
        known.timeout_s(b"\x83\x84")


@pytest.mark.integration
async def test_it_answers_every_kind(tmp_path: Path, valkey_port: int) -> None:
    """Calls of all kinds, over many ticks, and one of grpcio's client."""
    async with AsyncExitStack() as stack:
        (proof,) = [program for program in programs({}) if program.name == PROOF]
        server = await start_server(stack, Program("bare", proof.command, {}, bare=True), tmp_path, valkey_port)
        assert await answers(server.port)
        await asyncio.to_thread(ran, Load(server.port, "over", 16, code=None))
        for kind in KINDS:
            load = Load(server.port, kind, 2000, code=2 if kind == "over" else 1)
            assert (await asyncio.to_thread(ran, load)).requests == 2000
        assert server.cpu_s() > 0
        assert 5 < server.rss_mb() < 500
