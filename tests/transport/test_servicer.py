import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
import structlog

from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.settings import ServerSettings
from ratelimit.transport import frames, servicer, servicer_streams
from ratelimit.transport.calls import Call
from ratelimit.transport.grpcio_server import GrpcioServer
from ratelimit.transport.native_server import NativeServer
from ratelimit.transport.servicer import CoroutineMethod
from ratelimit.transport.streams import State
from tests.transport.sans_io import Peer, until
from tests.transport.servicer_contract import LOOPBACK, SERVICE, Client, Seen, ServicerContract, handlers

unary: Any = grpc.unary_unary_rpc_method_handler
responses_stream: Any = grpc.unary_stream_rpc_method_handler
requests_stream: Any = grpc.stream_unary_rpc_method_handler
both_stream: Any = grpc.stream_stream_rpc_method_handler


class TestOnGrpcio(ServicerContract):
    """The oracle."""

    @staticmethod
    def make(settings: ServerSettings) -> GrpcioServer:
        """The server of grpcio."""
        return GrpcioServer(settings)


class TestOnNative(ServicerContract):
    """Whatever grpcio's server does."""

    @staticmethod
    def make(settings: ServerSettings) -> NativeServer:
        """Our own server."""
        return NativeServer(settings)

    async def test_a_method_without_an_answer_ends_unavailable_with_the_grace(self) -> None:
        """It is cancelled, whatever it has sent until then."""
        for name in ("wait", "answer_late"):
            seen = Seen()
            server = self.make(LOOPBACK)
            server.add_registered_method_handlers(SERVICE, handlers(seen))
            await server.start()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                call = getattr(Client(channel, seen), name)(b"")
                await seen.began.wait()
                await asyncio.wait_for(server.stop(0.05), 30)
                assert await call.code() is grpc.StatusCode.UNAVAILABLE
                assert seen.cancelled.is_set()

    async def test_a_method_hears_that_its_client_has_read(self) -> None:
        """What grpcio's contexts cannot tell: the answer to the PING behind the message."""

        async def serve(_: bytes, context: Any) -> None:
            await context.write(b"first")
            await context.acknowledged()
            await context.write(b"read")

        server = self.make(LOOPBACK)
        method = responses_stream(serve)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Read", {"it": method}),))
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            asked: Any = channel.unary_stream("/test.Read/it")
            assert [message async for message in asked(b"")] == [b"first", b"read"]
        await server.stop(0)

    async def test_a_path_that_cannot_be_served_fails_its_calls_only(self) -> None:
        """A generic handler is asked when a call comes, too late for an error at the start."""
        server = self.make(LOOPBACK)
        plain: Any = unary(lambda request, _: request)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Plain", {"say": plain}),))
        server.add_registered_method_handlers(SERVICE, handlers(Seen()))
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            assert await channel.unary_unary("/test.Plain/say")(b"").code() is grpc.StatusCode.UNIMPLEMENTED
            assert await Client(channel, Seen()).say(b"hi") == b"said hi"
        await server.stop(0)


class Method:
    """A method that stays until it is told to end; `stubborn` ones ignore that they are cancelled."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.began, self.end, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.cancelled = False
        self.context: Any = None
        self._stubborn = stubborn

    async def serve(self, _: Any, context: Any) -> bytes:
        """The coroutine."""
        self.context = context
        context.add_done_callback(lambda _: self.ended.set())
        self.began.set()
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            if not self._stubborn:
                raise
            await self.end.wait()
        return b"done"

    async def stream(self, request: Any, context: Any) -> None:
        """The same with a message first."""
        await context.write(b"one")
        await context.write(await self.serve(request, context))


def peer_of(handler: Any) -> Peer:
    """A client of a method."""
    return Peer(CoroutineMethod(handler, "/test.Servicer/method"))


async def answered(peer: Peer) -> tuple[int, str, bytes]:
    """Wait for the call's end: status, details and body."""
    await until(lambda: not peer.calls[-1].waiting)
    fields, body = peer.answer()
    return int(fields["grpc-status"]), fields.get("grpc-message", ""), body


@pytest.mark.parametrize("made", [unary, responses_stream, requests_stream, both_stream])
def test_a_plain_function_is_refused(made: Callable[[Any], Any]) -> None:
    """It would hold every other call: the error names the path and what is wanted."""

    def method(_: Any, __: Any) -> bytes:
        return b""

    with pytest.raises(TypeError, match=r"/a\.B/c: the method must be a coroutine.*method"):
        CoroutineMethod(made(method), "/a.B/c")


def test_a_generator_has_no_single_response() -> None:
    """Only a stream of responses may be generated."""

    async def method(_: Any, __: Any) -> AsyncIterator[bytes]:
        yield b""

    with pytest.raises(TypeError, match="must be a coroutine function, not"):
        CoroutineMethod(unary(method), "/a.B/c")


@pytest.mark.parametrize("made", [unary, responses_stream])
@pytest.mark.parametrize(("messages", "details"), [([], "without a message"), ([b"a", b"b"], "more than one message")])
async def test_a_unary_request_is_one_message(made: Any, messages: list[bytes], details: str) -> None:
    """INTERNAL for none and for two; the method is not called."""
    method, peer = Method(), None
    peer = peer_of(made(method.serve))
    peer.request(end=not messages)
    for message in messages:
        peer.message(message, end=message == messages[-1])
    status, found, _ = await answered(peer)
    assert (status, details in found, method.began.is_set()) == (13, True, False)
    assert peer.connection.buffered == 0


@pytest.mark.parametrize("made", [unary, both_stream])
async def test_binary_metadata_that_is_no_base64_fails_the_call(made: Any) -> None:
    """Before its method, and the connection stays."""
    method = Method()
    peer = peer_of(made(method.serve))
    peer.request(("x-one-bin", "?"))
    status, details, _ = await answered(peer)
    assert (status, details, peer.connection.failed) == (13, "the value of x-one-bin is no base64", "")


async def test_a_method_sees_the_metadata_of_its_client_only() -> None:
    """Nothing that gRPC itself needs."""
    method = Method()
    peer = peer_of(unary(method.serve))
    peer.request(("grpc-timeout", "1H"), ("grpc-trace-bin", "?"), ("user-agent", "me"), ("x-one-bin", "AA"))
    peer.message(b"", end=True)
    await method.began.wait()
    assert method.context.invocation_metadata() == (("user-agent", "me"), ("x-one-bin", b"\0"))
    method.end.set()
    assert await answered(peer) == (0, "", b"\0\0\0\0\4done")


async def test_a_request_that_cannot_be_read_fails_its_call() -> None:
    """INTERNAL, without its method."""
    method = Method()
    peer = peer_of(unary(method.serve, request_deserializer=int))
    peer.request()
    peer.message(b"no number", end=True)
    status, details, _ = await answered(peer)
    assert (status, "the request cannot be read" in details, method.began.is_set()) == (13, True, False)


def expire(peer: Peer) -> None:
    """The deadline of the call."""
    peer.calls[-1].expire()


def give_up(peer: Peer) -> None:
    """The client."""
    peer.reset()


def break_down(peer: Peer) -> None:
    """A message with a flag that does not exist."""
    peer.send(frames.frame(frames.DATA, 0, peer.calls[-1].stream_id, b"\7\0\0\0\0"))


@pytest.mark.parametrize("end", [expire, give_up, break_down])
@pytest.mark.parametrize("stubborn", [True, False])
async def test_a_method_that_outlives_its_call_keeps_its_place(end: Callable[[Peer], None], stubborn: bool) -> None:
    """It is cancelled; until it is done the stream counts among those of its connection."""
    method = Method(stubborn=stubborn)
    peer = peer_of(requests_stream(method.serve))
    call = peer.request()
    peer.message(b"unread")
    await method.began.wait()
    end(peer)
    assert (call.waiting, call.state, peer.connection.orphans) == (False, State.ABANDONED, 1)
    method.end.set() if stubborn else None
    await method.ended.wait()
    assert (method.cancelled, method.context.cancelled(), method.context.done()) == (True, True, True)
    assert (call.state, peer.connection.orphans, peer.connection.buffered) == (State.CLOSED, 0, 0)


@pytest.mark.parametrize(("end", "status"), [(expire, 4), (break_down, 13)])
@pytest.mark.parametrize("begun", [True, False])
async def test_a_call_that_ends_early_has_its_status(end: Callable[[Peer], None], status: int, begun: bool) -> None:
    """In trailers after what was sent, else alone."""
    method = Method()
    peer = peer_of(both_stream(method.stream if begun else method.serve))
    peer.request()
    await method.began.wait()
    end(peer)
    found, _, body = await answered(peer)
    assert (found, body) == (status, b"\0\0\0\0\3one" if begun else b"")
    await method.ended.wait()


async def test_a_deadline_before_the_request_is_whole() -> None:
    """There is no method yet, and nothing stays."""
    method = Method()
    peer = peer_of(unary(method.serve))
    call = peer.request()
    peer.message(b"unread")
    expire(peer)
    assert ((await answered(peer))[0], call.state, peer.connection.orphans) == (4, State.CLOSED, 0)
    assert (method.began.is_set(), peer.connection.buffered) == (False, 0)


@pytest.mark.parametrize("ended", [True, False])
async def test_an_expired_client_that_does_not_read_is_reset(ended: bool) -> None:
    """Whatever waits for it would wait for ever; likewise when its method is done already."""

    async def method(_: Any, context: Any) -> None:
        context._responses.message(bytes(100_000))
        await asyncio.Event().wait() if not ended else None

    peer = peer_of(responses_stream(method))
    call = peer.request()
    peer.message(b"", end=True)
    await until(lambda: call.outflow is not None and call.waiting is not ended)
    expire(peer)
    assert peer.received()[-1][0] == frames.RST_STREAM
    assert call.state is (State.CLOSED if ended else State.ABANDONED)


async def test_a_stop_ends_streams_of_responses_and_no_others() -> None:
    """After the message on its way, with UNAVAILABLE; what has one answer is still answered."""
    streams, one = Method(), Method()
    for method, handler in ((streams, responses_stream(streams.stream)), (one, unary(one.serve))):
        peer = peer_of(handler)
        call: Any = peer.request()
        peer.message(b"", end=True)
        await method.began.wait()
        call.body.receiver.stopping()
        if method is one:
            assert call.waiting
            method.end.set()
        status, details, body = await answered(peer)
        expected = (0, "", b"done") if method is one else (14, "the service stops", b"one")
        assert (status, details, body[5:]) == expected
        await method.ended.wait()


async def test_the_last_message_of_a_stopped_stream_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that does not read does not hold the end."""
    monkeypatch.setattr(servicer, "LAST_WRITE_S_MAX", 0.001)

    async def method(_: Any, context: Any) -> None:
        await context.write(bytes(servicer_streams.HELD_BYTES_MAX * 3))

    peer = peer_of(responses_stream(method))
    call: Any = peer.request()
    peer.message(b"", end=True)
    await until(lambda: call.outflow is not None)
    call.body.receiver.stopping()
    await until(lambda: call.state is State.CLOSED)
    assert peer.received()[-1][0] == frames.RST_STREAM


async def test_a_reset_after_the_answer_finds_the_method_still_at_work() -> None:
    """An answer that is still held back: the work is counted until it ends."""
    method = Method(stubborn=True)

    async def serve(request: Any, context: Any) -> None:
        context._responses.message(bytes(servicer_streams.HELD_BYTES_MAX * 3))
        await method.serve(request, context)

    peer = peer_of(responses_stream(serve))
    call: Any = peer.request()
    peer.message(b"", end=True)
    await method.began.wait()
    call.body.receiver.failed(RpcError(GrpcStatus.UNAVAILABLE, "over"))
    await asyncio.sleep(0)
    assert (call.waiting, call.state) == (False, State.HALF_CLOSED_REMOTE)
    peer.reset()
    assert peer.connection.orphans == 1
    method.end.set()
    await method.ended.wait()
    assert peer.connection.orphans == 0


class Unspeakable(Exception):  # noqa: N818 - it is none that anybody catches
    """An error that cannot even be shown."""

    def __str__(self) -> str:
        raise ValueError("no words")


async def test_no_fault_of_a_method_escapes() -> None:
    """Its call ends; each place is logged once; the others do not notice."""
    faults: list[BaseException] = [ValueError("a"), ValueError("b"), Unspeakable(), asyncio.CancelledError()]

    async def method(_: Any, context: Any) -> bytes:
        context.add_done_callback(lambda _: 1 / 0)
        raise faults.pop(0)

    peer, found = peer_of(unary(method)), []
    servicer._faults.clear()
    with structlog.testing.capture_logs() as logs:
        for number in range(4):
            stream_id = (2 * number + 1).to_bytes(4, "big")
            peer.request(stream_id=stream_id)
            peer.message(b"", stream_id=stream_id, end=True)
            found.append((await answered(peer))[:2])
            await asyncio.sleep(0)
    unexpected = "Unexpected <class 'ValueError'>: "
    last = [(2, "the method failed"), (1, "the method was cancelled")]
    assert found == [(2, f"{unexpected}a"), (2, f"{unexpected}b"), *last]
    kinds = [type(entry["exc_info"]).__name__ for entry in logs]
    assert kinds == ["ValueError", "ZeroDivisionError", "Unspeakable", "ValueError"]
    assert (peer.connection.failed, peer.connection.orphans) == ("", 0)


async def test_a_method_that_goes_on_after_its_client_went_is_no_fault() -> None:
    """It is told so by its next use of the context, and nothing is logged."""
    method = Method(stubborn=True)
    peer = peer_of(both_stream(method.stream))
    peer.request()
    await method.began.wait()
    servicer._faults.clear()
    with structlog.testing.capture_logs() as logs:
        peer.reset()
        await asyncio.sleep(0)
        method.end.set()
        await method.ended.wait()
    assert logs == []


async def test_what_comes_after_the_end_is_left_alone() -> None:
    """Messages of a request that was answered early."""

    async def method(_: Any, __: Any) -> bytes:
        return b"enough"

    peer = peer_of(requests_stream(method))
    call: Call = peer.request()
    assert (await answered(peer))[0] == 0
    receiver: Any = call.body and call.body.receiver
    receiver.message(b"late")
    receiver.end()
    assert (peer.connection.buffered, receiver.full) == (0, False)
