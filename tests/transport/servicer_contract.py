"""The contract suite of coroutine methods: the same servicers on each server, grpcio being the oracle."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from ratelimit.settings import ServerSettings
from ratelimit.transport.methods import GrpcServer

MIB = 1024 * 1024
SERVICE = "test.Servicer"
# The client's own bound of a message is 4 MiB, and the server's default is more.
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.lookahead_bytes", 32 * MIB),  # a window as wide as Envoy's, and more
]


LOOPBACK = ServerSettings(grpc_host="127.0.0.1", grpc_port=0)


class Seen:
    """What the methods saw, for the test."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.finished = asyncio.Event()
        self.error: BaseException | None = None
        self.read = 0


class Methods:
    """Methods of every kind, in every form."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    async def say(self, request: bytes, _: Any) -> bytes:
        """Unary, unary."""
        await asyncio.sleep(0)
        return b"said " + request

    async def count(self, request: bytes, _: Any) -> AsyncIterator[bytes]:
        """Unary, stream: as a generator."""
        for number in range(int(request)):
            yield b"%d" % number

    async def count_writing(self, request: bytes, context: Any) -> None:
        """The same by `write`."""
        for number in range(int(request)):
            await context.write(b"%d" % number)

    async def join(self, requests: Any, _: Any) -> bytes:
        """Stream, unary: iterating."""
        return b",".join([request async for request in requests])

    async def join_reading(self, _: Any, context: Any) -> bytes:
        """The same by `read`."""
        found = []
        while (request := await context.read()) is not grpc.aio.EOF:
            found.append(request)
        return b",".join(found)

    async def echo(self, requests: Any, _: Any) -> AsyncIterator[bytes]:
        """Stream, stream: both as iterators."""
        async for request in requests:
            yield request

    async def echo_reading(self, _: Any, context: Any) -> None:
        """The same by `read` and `write`."""
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(request)

    async def metadata(self, _: bytes, context: Any) -> bytes:
        """The client's metadata back, as initial and as trailing metadata."""
        pairs = [(pair.key, pair.value) for pair in context.invocation_metadata() if pair.key.startswith("x-")]
        await context.send_initial_metadata(pairs)
        context.set_trailing_metadata(tuple(pairs))
        return repr(context.trailing_metadata()).encode()

    async def abort(self, request: bytes, context: Any) -> bytes:
        """End with a status in each of the ways there are."""
        context.set_trailing_metadata((("x-why", "because"),))
        if request == b"abort":
            await context.abort(grpc.StatusCode.NOT_FOUND, "nobody, ñ and %\n")
        if request == b"suppressed":
            try:
                await context.abort(grpc.StatusCode.NOT_FOUND, "nobody")
            except grpc.aio.AbortError:
                return b"not wanted any more"
        if request == b"details before":
            context.set_details("set before")
            await context.abort(grpc.StatusCode.NOT_FOUND)
        if request == b"code":
            context.set_code(grpc.StatusCode.ALREADY_EXISTS)
            context.set_details("there")
        if request == b"raise":
            raise ValueError("bad luck")
        if request == b"raise with code":
            context.set_code(grpc.StatusCode.DATA_LOSS)
            raise ValueError("bad luck")
        return b"response"

    async def abort_later(self, _: Any, context: Any) -> AsyncIterator[bytes]:
        """End a stream after its first message."""
        yield b"one"
        context.set_trailing_metadata((("x-why", "because"),))
        await context.abort(grpc.StatusCode.ABORTED, "enough")

    async def fail_later(self, _: Any, __: Any) -> AsyncIterator[bytes]:
        """Fail after the first message."""
        yield b"one"
        raise ValueError("bad luck")

    async def stay(self, _: Any, context: Any) -> AsyncIterator[bytes]:
        """Answer once, and stay until cancelled."""
        context.add_done_callback(lambda _: self._seen.finished.set())
        self._seen.began.set()
        try:
            yield b"one"
            await asyncio.Event().wait()
        finally:
            self._seen.cancelled.set()

    async def wait(self, _: Any, context: Any) -> bytes:
        """Likewise, without any answer."""
        context.add_done_callback(lambda _: self._seen.finished.set())
        self._seen.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self._seen.cancelled.set()
            raise
        return b""

    async def answer_late(self, request: bytes, context: Any) -> bytes:
        """Likewise, after its headers."""
        await context.send_initial_metadata(())
        return await self.wait(request, context)

    async def tell(self, _: bytes, context: Any) -> bytes:
        """What the context knows."""
        peer, remaining = context.peer(), context.time_remaining()
        left = None if remaining is None else 0 < remaining < 61
        context.set_compression(grpc.Compression.Gzip)
        context.disable_next_message_compression()
        told = (peer.startswith("ipv4:127.0.0.1:"), left, context.code(), context.details(), context.done())
        identity = (context.peer_identities(), context.peer_identity_key())
        return repr((*told, context.cancelled(), *identity)).encode()

    async def gush(self, request: bytes, _: Any) -> AsyncIterator[bytes]:
        """So many messages of a mebibyte."""
        for _number in range(int(request)):
            self._seen.read += 1
            yield bytes(MIB)
        self._seen.finished.set()

    async def whole(self, request: bytes, _: Any) -> bytes:
        """So many mebibytes in one message."""
        return bytes(int(request) * MIB)

    async def swallow(self, requests: Any, context: Any) -> bytes:
        """Read only once the test says so."""
        self._seen.began.set()
        await self._seen.finished.wait()
        return b"%d" % sum([len(request) async for request in requests])


UNARY, STREAM = False, True
_MADE = {
    (UNARY, UNARY): grpc.unary_unary_rpc_method_handler,
    (UNARY, STREAM): grpc.unary_stream_rpc_method_handler,
    (STREAM, UNARY): grpc.stream_unary_rpc_method_handler,
    (STREAM, STREAM): grpc.stream_stream_rpc_method_handler,
}
KINDS = {
    "say": (UNARY, UNARY),
    "count": (UNARY, STREAM),
    "count_writing": (UNARY, STREAM),
    "join": (STREAM, UNARY),
    "join_reading": (STREAM, UNARY),
    "echo": (STREAM, STREAM),
    "echo_reading": (STREAM, STREAM),
    "metadata": (UNARY, UNARY),
    "abort": (UNARY, UNARY),
    "abort_later": (UNARY, STREAM),
    "fail_later": (UNARY, STREAM),
    "stay": (UNARY, STREAM),
    "wait": (UNARY, UNARY),
    "answer_late": (UNARY, UNARY),
    "whole": (UNARY, UNARY),
    "tell": (UNARY, UNARY),
    "gush": (UNARY, STREAM),
    "swallow": (STREAM, UNARY),
}


def handlers(seen: Seen) -> dict[str, Any]:
    """Handlers as generated code makes them."""
    methods = Methods(seen)
    return {name: _MADE[kind](getattr(methods, name)) for name, kind in KINDS.items()}


class Client:
    """Grpcio's own client, by the names of the methods."""

    def __init__(self, channel: grpc.aio.Channel, seen: Seen) -> None:
        self.channel = channel
        self.seen = seen

    def __getattr__(self, name: str) -> Any:
        request_streaming, response_streaming = KINDS[name]
        requests, responses = (
            "stream" if is_stream else "unary" for is_stream in (request_streaming, response_streaming)
        )
        return getattr(self.channel, f"{requests}_{responses}")(f"/{SERVICE}/{name}")


async def messages(call: Any) -> list[bytes]:
    """All responses of a stream."""
    return [message async for message in call]


class ServicerContract:
    """What coroutine methods can rely on; a subclass in a test file says which server is made."""

    @staticmethod
    def make(settings: ServerSettings) -> GrpcServer:
        """A server that is not started yet."""
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def client(self) -> AsyncIterator[Client]:
        """A client of a running server."""
        seen = Seen()
        settings = ServerSettings(grpc_host="127.0.0.1", grpc_port=0, grpc_max_recv_msg_bytes=8 * MIB)
        server = self.make(settings)
        server.add_registered_method_handlers(SERVICE, handlers(seen))
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", OPTIONS) as channel:
            yield Client(channel, seen)
        await server.stop(0)

    async def test_a_unary_method(self, client: Client) -> None:
        """A request, a response."""
        assert await client.say(b"hi") == b"said hi"

    @pytest.mark.parametrize("name", ["count", "count_writing"])
    @pytest.mark.parametrize("number", [0, 1, 300])
    async def test_responses_as_a_stream(self, client: Client, name: str, number: int) -> None:
        """Generated or written, none as well as many; the status is OK."""
        call = getattr(client, name)(b"%d" % number)
        assert await messages(call) == [b"%d" % one for one in range(number)]
        assert await call.code() is grpc.StatusCode.OK

    @pytest.mark.parametrize("name", ["join", "join_reading"])
    @pytest.mark.parametrize("requests", [[], [b"a"], [b"a", b"", b"c"] * 100])
    async def test_requests_as_a_stream(self, client: Client, name: str, requests: list[bytes]) -> None:
        """Iterated or read, none as well as many."""
        assert await getattr(client, name)(iter(requests)) == b",".join(requests)

    @pytest.mark.parametrize("name", ["echo", "echo_reading"])
    async def test_both_as_streams(self, client: Client, name: str) -> None:
        """A conversation: each is answered before the next is sent, and the end of one side ends the other."""
        call = getattr(client, name)()
        for word in (b"one", b"", b"two"):
            await call.write(word)
            assert await call.read() == word
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK

    async def test_metadata_goes_both_ways(self, client: Client) -> None:
        """Text and bytes, a key twice; initial and trailing."""
        sent = (("x-text", "a, b"), ("x-one-bin", bytes(range(256))), ("x-text", "c"), ("x-empty-bin", b""))
        call = client.metadata(b"", metadata=sent)
        initial = [(key, value) for key, value in await call.initial_metadata() if key.startswith("x-")]
        assert sorted(initial) == sorted(sent)
        assert sorted(await call.trailing_metadata()) == sorted(sent)
        assert eval(await call) == tuple((key, value) for key, value in initial)

    @pytest.mark.parametrize(
        ("request_", "code", "details"),
        [
            (b"abort", grpc.StatusCode.NOT_FOUND, "nobody, ñ and %\n"),
            (b"suppressed", grpc.StatusCode.NOT_FOUND, "nobody"),
            (b"details before", grpc.StatusCode.NOT_FOUND, "set before"),
            (b"code", grpc.StatusCode.ALREADY_EXISTS, "there"),
            (b"raise", grpc.StatusCode.UNKNOWN, "Unexpected <class 'ValueError'>: bad luck"),
            (b"raise with code", grpc.StatusCode.DATA_LOSS, "Unexpected <class 'ValueError'>: bad luck"),
        ],
    )
    async def test_every_way_to_an_error(
        self, client: Client, request_: bytes, code: grpc.StatusCode, details: str
    ) -> None:
        """Its status, its words and its trailing metadata arrive."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.abort(request_)
        assert (caught.value.code(), caught.value.details()) == (code, details)
        assert ("x-why", "because") in tuple(caught.value.trailing_metadata())

    @pytest.mark.parametrize(
        ("name", "code", "details"),
        [
            ("abort_later", grpc.StatusCode.ABORTED, "enough"),
            ("fail_later", grpc.StatusCode.UNKNOWN, "Unexpected <class 'ValueError'>: bad luck"),
        ],
    )
    async def test_a_stream_that_ends_with_an_error(
        self, client: Client, name: str, code: grpc.StatusCode, details: str
    ) -> None:
        """After the messages that were sent."""
        call = getattr(client, name)(b"")
        assert await call.read() == b"one"
        with pytest.raises(grpc.aio.AioRpcError):
            await call.read()
        assert (await call.code(), await call.details()) == (code, details)

    @pytest.mark.parametrize("name", ["stay", "wait"])
    async def test_a_cancelled_call_cancels_its_method(self, client: Client, name: str) -> None:
        """And its done callbacks are called."""
        call = getattr(client, name)(b"")
        await client.seen.began.wait()
        if name == "stay":
            assert await call.read() == b"one"
        call.cancel()
        await asyncio.wait_for(client.seen.cancelled.wait(), 30)
        await asyncio.wait_for(client.seen.finished.wait(), 30)

    @pytest.mark.parametrize("name", ["stay", "wait"])
    async def test_the_deadline_cancels_a_method(self, client: Client, name: str) -> None:
        """Its caller is told DEADLINE_EXCEEDED."""
        timeout_s = 0.1
        while not client.seen.began.is_set():  # a deadline may pass before the request reaches the method
            timeout_s *= 2
            assert timeout_s < 60
            call = getattr(client, name)(b"", timeout=timeout_s)
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(client.seen.cancelled.wait(), 30)
        await asyncio.wait_for(client.seen.finished.wait(), 30)

    @pytest.mark.parametrize("timeout_s", [60, None])
    async def test_the_context_tells_what_it_knows(self, client: Client, timeout_s: float | None) -> None:
        """Peer, time, status and identity."""
        told = eval(await client.tell(b"", timeout=timeout_s))
        assert told == (True, None if timeout_s is None else True, None, "", False, False, None, None)

    async def test_large_messages_go_both_ways(self, client: Client) -> None:
        """Each larger than the windows of HTTP/2."""
        sent = [bytes((number,)) * MIB for number in range(16)]
        assert await messages(client.echo(iter(sent))) == sent

    async def test_a_response_larger_than_every_buffer(self, client: Client) -> None:
        """It arrives whole, however long its client takes."""
        assert len(await client.whole(b"24")) == 24 * MIB

    async def test_a_client_that_does_not_read_holds_the_method_back(self, client: Client) -> None:
        """Only so much is generated ahead; all of it arrives in the end."""
        call = client.gush(b"200")
        assert len(await call.read()) == MIB
        generated = 0
        while generated != client.seen.read:  # until it stands still
            generated = client.seen.read
            await asyncio.sleep(0.1)
        assert generated < 100
        received = 1
        while await call.read() is not grpc.aio.EOF:
            received += 1
        assert received == 200

    async def test_a_method_that_does_not_read_holds_its_client_back(self, client: Client) -> None:
        """Only so much is taken in ahead; all of it arrives in the end."""
        call, sent = client.swallow(), 1
        await client.seen.began.wait()
        writing = asyncio.ensure_future(call.write(bytes(MIB)))
        while (await asyncio.wait((writing,), timeout=0.3))[0]:  # until one waits
            writing = asyncio.ensure_future(call.write(bytes(MIB)))
            sent += 1
        assert sent < 100
        client.seen.finished.set()
        await writing
        await call.done_writing()
        assert await call == b"%d" % (sent * MIB)
