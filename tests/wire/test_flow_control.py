"""RFC 9113, sections 5.2 and 6.9: what a server may send, how much a client may, and what is given back."""

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, WindowUpdateFrame

from tests.wire import frames
from tests.wire.client import WireClient, connected
from tests.wire.conformance import BLOCK, EitherError
from tests.wire.frames import data, headers, settings, window_update
from tests.wire.served import ECHO, running
from tests.wire.testing_service import messages

WINDOW = SettingCodes.INITIAL_WINDOW_SIZE
DEFAULT = 65_535
FULL_DUPLEX = b"/grpc.testing.TestService/FullDuplexCall"


def sizes(client: WireClient, stream: int = 1) -> list[int]:
    """The sizes of the DATA frames of one stream."""
    return [
        each.flow_controlled_length
        for each in client.frames
        if isinstance(each, DataFrame) and each.stream_id == stream
    ]


async def came(client: WireClient, size: int, stream: int = 1) -> None:
    """Wait until so many bytes came on a stream, and see that it stays at that."""
    await client.until(lambda: sum(sizes(client, stream)) >= size, f"{size} bytes of stream {stream}")
    await client.alive()
    assert sum(sizes(client, stream)) == size


async def test_a_window_of_one_byte(client: WireClient) -> None:
    """One byte of DATA comes, and no more before WINDOW_UPDATE."""
    await client.send(settings((WINDOW, 1)), frames.unary(1, ECHO, b"hello"))
    await came(client, 1)
    await client.send(window_update(1, 2))
    await came(client, 3)
    await client.send(window_update(1, 100))
    assert (await client.answered(1)).messages == [b"hello"]


async def test_a_window_of_no_bytes_holds_data_and_trailers(client: WireClient) -> None:
    """HEADERS are not flow-controlled, so they come; what belongs behind the message does not overtake it."""
    await client.send(settings((WINDOW, 0)), frames.unary(1, ECHO, b"hello"))
    await client.until(lambda: bool(client.reply(1).blocks), "response headers")
    await client.alive()
    assert (client.reply(1).data, len(client.reply(1).blocks)) == (b"", 1)
    await client.send(settings((WINDOW, DEFAULT)))
    assert (await client.answered(1)).messages == [b"hello"]


async def test_an_answer_of_no_bytes_needs_its_prefix(client: WireClient) -> None:
    """An empty message has five bytes on the wire, and they wait for the window like all others."""
    await client.send(settings((WINDOW, 4)), frames.unary(1, ECHO, b""))
    await came(client, 4)
    await client.send(window_update(1, 1))
    assert (await client.answered(1)).messages == [b""]


async def test_a_window_may_become_negative(client: WireClient) -> None:
    """Section 6.9.2: lowered below what was sent, it must be filled up before anything more comes."""
    await client.send(settings((WINDOW, 10)), frames.unary(1, ECHO, b"x" * 95))
    await came(client, 10)
    await client.send(settings((WINDOW, 4)), window_update(1, 6))
    await client.alive()
    assert sum(sizes(client)) == 10
    await client.send(window_update(1, 1))
    await came(client, 11)
    await client.send(settings((WINDOW, 3)), window_update(1, 90))
    assert (await client.answered(1)).messages == [b"x" * 95]


async def test_the_last_of_two_window_sizes_counts(client: WireClient) -> None:
    """Section 6.5.3: values are taken in the order in which they stand."""
    await client.send(settings((WINDOW, 100), (WINDOW, 1)), frames.unary(1, ECHO, b"hello"))
    await came(client, 1)


async def test_the_window_of_the_connection_is_shared(client: WireClient) -> None:
    """Two answers of 40,000 bytes do not fit into 65,535; the second goes on when there is room."""
    await client.send(settings((WINDOW, 2**20)), *(frames.headers(at, BLOCK) for at in (1, 3)))
    for at in (1, 3):
        message = frames.message(b"x" * 40_000)
        await client.send(
            data(at, message[:16_000]), data(at, message[16_000:32_000]), data(at, message[32_000:], end=True)
        )
    await client.until(lambda: sum(sizes(client, 1) + sizes(client, 3)) >= DEFAULT, "the whole window")
    await client.alive()
    assert sum(sizes(client, 1) + sizes(client, 3)) == DEFAULT
    await client.send(window_update(0, DEFAULT))
    for at in (1, 3):
        assert (await client.answered(at)).messages == [b"x" * 40_000]


async def test_streams_that_wait_are_served_in_turn(client: WireClient) -> None:
    """A stream with a window gets the connection's room also while another, without one, waits before it."""
    await client.send(settings((WINDOW, 0)), frames.unary(1, ECHO, b"first"), frames.unary(3, ECHO, b"second"))
    await client.send(window_update(3, 100))
    assert (await client.answered(3)).messages == [b"second"]
    assert client.reply(1).data == b""
    await client.send(window_update(1, 100))
    assert (await client.answered(1)).messages == [b"first"]


async def test_frames_are_no_larger_than_the_client_takes(client: WireClient) -> None:
    """Section 4.2: 2^14 bytes, unless the client's SETTINGS allow more, of which no use need be made."""
    payload = b"x" * 50_000
    message = frames.message(payload)
    await client.send(
        headers(1, BLOCK),
        *(data(1, message[at : at + 2**14]) for at in range(0, len(message), 2**14)),
        data(1, end=True),
    )
    assert (await client.answered(1)).messages == [payload]
    assert max(sizes(client)) <= 2**14


async def test_more_than_the_stream_s_window_is_an_error(client: WireClient) -> None:
    """A client that sends on where a server does not take in is stopped: FLOW_CONTROL_ERROR."""
    window = client.server_settings.get(WINDOW, DEFAULT)
    wanted = messages.ResponseParameters(size=1000)
    request = messages.StreamingOutputCallRequest(
        response_parameters=[wanted], payload=messages.Payload(body=b"x" * 10_000)
    )
    # No answer may leave, so the method waits, and its client's messages fill the window.
    await client.send(settings((WINDOW, 0)), headers(1, frames.block(frames.call_fields(FULL_DUPLEX))))
    for _ in range(8 * window // 10_000):
        if client.closed or client.reply(1).ended:
            break
        await client.send(data(1, frames.message(request.SerializeToString())))
    await EitherError(ErrorCodes.FLOW_CONTROL_ERROR).check(client)


@pytest.mark.parametrize("size", [4_000, 16_000])
async def test_the_connection_s_window_is_given_back(size: int) -> None:
    """A server that forgets stalls its client: more than the window goes through, in calls of any size."""
    async with running() as server, connected(server.port) as client:
        await client.open((WINDOW, 2**31 - 1))
        await client.send(window_update(0, 2**30))
        given = [each.window_increment for each in client.frames if isinstance(each, WindowUpdateFrame)]
        for _ in range(int(1.2 * (DEFAULT + sum(given))) // size // 100 + 1):
            for _ in range(100):
                await client.call(ECHO, b"x" * size)
            assert (await client.answered(client.last_stream)).grpc_status == 0


async def test_padding_is_given_back(client: WireClient) -> None:
    """Section 6.1: padding counts, so a client that pads must not be stalled by it."""
    window = client.server_settings.get(WINDOW, DEFAULT)
    await client.send(headers(1, BLOCK))
    for _ in range(window // 256 * 2):
        await client.send(data(1, pad=255))
    await client.send(data(1, frames.message(b"x"), end=True))
    reply = await client.answered(1)
    assert (reply.reset, reply.messages) == (None, [b"x"])


async def test_a_reset_answer_needs_no_window(client: WireClient) -> None:
    """A call that waits for its window and is reset frees what it held, and the next one is served."""
    await client.send(settings((WINDOW, 0)), frames.unary(1, ECHO, b"hello"))
    await client.until(lambda: bool(client.reply(1).blocks), "response headers")
    await client.send(frames.rst_stream(1), settings((WINDOW, DEFAULT)))
    assert (await client.answered(await client.call(ECHO, b"next", stream=3))).messages == [b"next"]
    assert client.reply(1).data == b""
    assert client.goaway is None


async def test_windows_of_streams_overflow_by_themselves(client: WireClient) -> None:
    """One stream's overflow is its own error; the window of the other is as it was."""
    await client.send(settings((WINDOW, 0)), frames.unary(1, ECHO, b"a"), frames.unary(3, ECHO, b"b"))
    await client.send(window_update(1, 2**31 - 1), window_update(3, 100))
    assert (await client.answered(3)).messages == [b"b"]
    await client.send(frames.unary(5, ECHO, b"wait"), window_update(5, 2**31 - 1), window_update(5, 1))
    assert await client.reset(5) == ErrorCodes.FLOW_CONTROL_ERROR


async def test_an_answer_larger_than_every_buffer_arrives(client: WireClient) -> None:
    """A client with room for it gets 16 MB in one message, however much of it the socket takes at once."""
    await client.send(settings((WINDOW, 2**31 - 1)), window_update(0, 2**30))
    request = messages.SimpleRequest(response_size=16_000_000).SerializeToString()
    stream = await client.call(b"/grpc.testing.TestService/UnaryCall", request)
    reply = await client.answered(stream)
    assert (reply.grpc_status, [len(each) > 16_000_000 for each in reply.messages]) == (0, [True])
