import asyncio
import gzip
import io
import json
import logging
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ratelimit.admin.json_budget import BODY_BYTES_MAX
from tests.admin import running
from tests.admin.json_texts import bodies
from tests.admin.running import ASK, Admin, until

Start = Callable[..., Awaitable[Admin]]
CHUNKED = b"POST /json HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_json_decides_and_counts(admin: Admin) -> None:
    """200 and 429 with the response, any method; /json/ is 404."""
    assert [(await admin.get("http", "/json", ASK))[0] for _ in range(3)] == [200, 200, 429]
    assert (await admin.get("http", "/json/", ASK))[0] == 404


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "not a RateLimitRequest in JSON: Expecting property name"),
        (b'{"domain": ""}', "rate limit domain must not be empty"),
        (b'{"domain": "\\ud800"}', "not a RateLimitRequest in JSON"),
        (b'{"a\\nb": 1}', "not a RateLimitRequest in JSON"),
        (b"x" * 2_000_000, f"larger than {BODY_BYTES_MAX} bytes"),
    ],
    ids=range(5),
)
async def test_every_mistake_is_400_and_says_why(admin: Admin, body: bytes, why: str) -> None:
    """The reference's status and body, and the reason in a header: one line of ASCII."""
    status, text, reason = await refused(admin, body)
    assert (status, text) == (400, "Bad Request\n")
    assert why in reason
    assert reason.isascii()
    assert reason.isprintable()


async def refused(admin: Admin, body: bytes) -> tuple[int, str, str]:
    """Status, body and Ratelimit-Reason."""
    address = f"http://127.0.0.1:{admin.server.ports['http']}/json"
    async with aiohttp.ClientSession() as session, session.post(address, data=io.BytesIO(body)) as response:
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        return response.status, await response.text(), response.headers["Ratelimit-Reason"]


async def test_a_content_encoding_is_undone_where_it_is_one(admin: Admin) -> None:
    """Gzip is read; a body that is JSON is JSON, whatever its header says, and anything else is 400."""
    assert (await admin.get("http", "/json", gzip.compress(ASK), Content_Encoding="GZIP"))[0] == 200
    for encoding in ("br", "gzip, gzip", "gzip", "deflate", "x"):
        assert (await admin.get("http", "/json", ASK, Content_Encoding=encoding))[0] in {200, 429}
        assert (await admin.get("http", "/json", b"\x1f\x8b", Content_Encoding=encoding))[0] == 400


async def test_what_is_not_there_is_told_as_go_tells_it(admin: Admin) -> None:
    """On each listener that has no page for it."""
    assert await admin.get("http", "/none") == (404, "404 page not found\n")


@pytest.mark.parametrize("broken", [b"zz\r\n", b"1\r\nxy\r\n", b"-1\r\n"], ids=ascii)
async def test_a_broken_body_is_400(admin: Admin, caplog: pytest.LogCaptureFixture, broken: bytes) -> None:
    """Chunks that are none: no traceback in the log, whoever sends them."""
    reader, writer = await admin.connect()
    writer.write(CHUNKED + broken)
    assert b" 400 " in await asyncio.wait_for(reader.readline(), 30)
    writer.close()
    assert not caplog.records


@pytest.mark.parametrize("goes_away", [False, True])
async def test_a_body_that_breaks_off_is_no_error_of_ours(
    started: Start, caplog: pytest.LogCaptureFixture, goes_away: bool
) -> None:
    """Broken in its middle, or the client is gone: the connection ends in its time, and nothing is logged."""
    admin = await started({"http_header_timeout": 0.2})
    reader, writer = await admin.connect()
    writer.write(CHUNKED + b"1\r\n{\r\n")
    server = admin.server._listeners[0]._runner.server
    assert server is not None
    await until(lambda: server.requests_count == 1)
    if goes_away:
        writer.transport.abort()
    else:
        writer.write(b"zz\r\n")
        assert await asyncio.wait_for(reader.read(), 30) == b""
    await until(lambda: admin.metrics.http.cx_active == 0)
    writer.close()
    assert not caplog.records


async def test_large_requests_take_turns_with_everybody(admin: Admin) -> None:
    """Eight of the largest requests at once: the loop turns many times while they are built."""
    entries = [{"key": "k", "value": "v"}] * 32
    body = json.dumps({"domain": "d", "descriptors": [{"entries": entries}] * 64}).encode()
    asking = asyncio.gather(*(admin.get("http", "/json", body) for _ in range(8)))
    turns = 0
    while not asking.done():
        await asyncio.sleep(0)
        turns += 1
    assert {status for status, _ in await asking} == {200}
    assert turns > 8 * 4


class Live:
    """A running server that a property test asks from outside of its loop."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.admin = runner.run(self._start())

    async def _start(self) -> Admin:
        admin = Admin(running.settings())
        await admin.server.start()
        self.session = aiohttp.ClientSession()
        self.address = f"http://127.0.0.1:{admin.server.ports['http']}/json"
        return admin

    def ask(self, body: bytes, encoding: str) -> tuple[int, bytes]:
        """Status and body."""

        async def ask() -> tuple[int, bytes]:
            headers = {"Content-Encoding": encoding} if encoding else {}
            async with self.session.post(self.address, data=body, headers=headers, compress=False) as response:
                return response.status, await response.read()

        return self.runner.run(ask())

    async def close(self) -> None:
        await self.session.close()
        await self.admin.server.close()


@pytest.fixture
def live() -> Iterator[Live]:
    """On the loop of production."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        live = Live(runner)
        yield live
        runner.run(live.close())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies, encoding=st.sampled_from(["", "", "", "gzip", "deflate", "br"]))
def test_no_body_brings_about_a_traceback(
    live: Live, caplog: pytest.LogCaptureFixture, body: bytes, encoding: str
) -> None:
    """Any bytes: 200, 429, or a refusal in one line; nothing is logged."""
    with caplog.at_level(logging.WARNING):
        status, text = live.ask(body, encoding)
    assert not caplog.records
    assert status in {200, 429, 400}
    if status == 400:
        assert text == b"Bad Request\n"
    else:
        assert json.loads(text)["overallCode"] in {"OK", "OVER_LIMIT"}
