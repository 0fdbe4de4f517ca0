"""Rules of HTTP/2 as cases of a table: what is sent after the opening, and what the server must do.

    Case("6.7 PING of 7 bytes", frame(Kind.PING, b"1234567"), Fatal(FRAME_SIZE_ERROR))

A step of a case is bytes, or a wait for the server: `Ended(1)` for the end of its answer, `Reset(1)` for RST_STREAM.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame, RstStreamFrame

from tests.wire import frames
from tests.wire.client import WireClient
from tests.wire.served import ECHO

# Blocks and calls that most cases begin with: a whole call, one whose answer never comes, one that is still open.
BLOCK = frames.block(frames.call_fields(ECHO))
CALL = frames.unary(1, ECHO, b"x")
HELD = frames.unary(1, ECHO, b"wait")
OPEN = frames.headers(1, BLOCK)
BODY = frames.message(b"x")


@dataclass(frozen=True, slots=True)
class Ended:
    """Wait for the end of a stream's answer."""

    stream: int

    async def wait(self, client: WireClient) -> None:
        await client.answered(self.stream)


@dataclass(frozen=True, slots=True)
class Reset:
    """Wait until the server has reset a stream."""

    stream: int

    async def wait(self, client: WireClient) -> None:
        await client.reset(self.stream)


Step = bytes | Ended | Reset


class Expected(Protocol):
    """What the server must do."""

    async def check(self, client: WireClient) -> None:
        """Raises AssertionError where it does something else."""


class Answered:
    """These streams are answered with status OK, and the connection goes on."""

    def __init__(self, *streams: int) -> None:
        self.streams = streams or (1,)

    async def check(self, client: WireClient) -> None:
        for stream in self.streams:
            reply = await client.answered(stream)
            assert (reply.status, reply.grpc_status, reply.reset) == (200, 0, None)
        await client.alive()
        assert_no_error(client)


class Borne:
    """No error: the connection goes on."""

    async def check(self, client: WireClient) -> None:
        await client.alive()
        assert_no_error(client)


class StreamError:
    """A stream is reset with one of these codes, and the connection goes on."""

    def __init__(self, *codes: ErrorCodes, stream: int = 1) -> None:
        self.codes = codes
        self.stream = stream

    async def check(self, client: WireClient) -> None:
        assert await client.reset(self.stream) in self.codes
        assert client.goaway is None
        # What others do goes on as before.
        reply = await client.answered(await client.call(ECHO, b"other", stream=self.stream + 1000))
        assert reply.messages == [b"other"]


class Fatal:
    """GOAWAY with one of these codes, then the end of the connection."""

    def __init__(self, *codes: ErrorCodes) -> None:
        self.codes = codes

    async def check(self, client: WireClient) -> None:
        assert (await client.ending()).code in self.codes


class Closed:
    """The end of the connection, with or without GOAWAY."""

    async def check(self, client: WireClient) -> None:
        await client.ending()


class EitherError:
    """An error of the stream or of the connection, with one of these codes: RFC 9113, section 5.4.2, leaves it open."""

    def __init__(self, *codes: ErrorCodes, stream: int = 1) -> None:
        self.codes = codes
        self.stream = stream

    async def check(self, client: WireClient) -> None:
        await client.until(lambda: client.closed or client.reply(self.stream).reset is not None, "an error")
        told = client.goaway if client.closed else client.reply(self.stream).reset
        assert told in self.codes


class BorneOrClosed:
    """The connection goes on, or ends without an error."""

    async def check(self, client: WireClient) -> None:
        await client.send(frames.ping())
        await client.until(lambda: client.closed or bool(client.acknowledged), "an answer or the end")
        assert client.goaway in {None, ErrorCodes.NO_ERROR}


def assert_no_error(client: WireClient) -> None:
    """Nothing was reset, and nobody was sent away."""
    assert [each for each in client.frames if isinstance(each, RstStreamFrame | GoAwayFrame)] == []


@dataclass(frozen=True, slots=True)
class Case:
    """One rule: its section and words, what is sent, what must come of it."""

    rule: str
    sent: Step | Sequence[Step]
    expected: Expected


def table(*cases: Case) -> pytest.MarkDecorator:
    """The cases as a parametrised test's `case`, named by their rules."""
    assert len({case.rule for case in cases}) == len(cases)
    return pytest.mark.parametrize("case", cases, ids=[case.rule for case in cases])


async def hold(case: Case, client: WireClient) -> None:
    """Take the steps of a case on an opened connection, and see that the server does as it must."""
    steps = [case.sent] if isinstance(case.sent, bytes | Ended | Reset) else case.sent
    for step in steps:
        if isinstance(step, bytes):
            await client.send(step)
        else:
            await step.wait(client)
    await case.expected.check(client)
