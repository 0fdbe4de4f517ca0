import pytest
from hpack import Decoder
from hyperframe.frame import Frame

from tests.wire import frames


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (frames.data(1, b"abc", end=True, pad=4), "DataFrame(stream_id=1, flags=['END_STREAM', 'PADDED'])"),
        (frames.headers(3, b"\x82", whole=False), "HeadersFrame(stream_id=3, flags=[])"),
        (
            frames.headers(3, b"\x82", end=True, priority=frames.dependency(1, exclusive=True)),
            "HeadersFrame(stream_id=3, flags=['END_HEADERS', 'END_STREAM', 'PRIORITY'])",
        ),
        (frames.continuation(5, b"\x82"), "ContinuationFrame(stream_id=5, flags=['END_HEADERS'])"),
        (frames.priority(7, 5, weight=256), "PriorityFrame(stream_id=7, flags=[])"),
        (frames.rst_stream(9), "RstStreamFrame(stream_id=9, flags=[])"),
        (frames.settings((4, 7), (1, 0)), "SettingsFrame(stream_id=0, flags=[])"),
        (frames.SETTINGS_ACK, "SettingsFrame(stream_id=0, flags=['ACK'])"),
        (frames.ping(ack=True), "PingFrame(stream_id=0, flags=['ACK'])"),
        (frames.goaway(3, 2, b"why"), "GoAwayFrame(stream_id=0, flags=[])"),
        (frames.window_update(0, 2**31 - 1), "WindowUpdateFrame(stream_id=0, flags=[])"),
    ],
)
def test_another_library_reads_what_is_written(sent: bytes, read: str) -> None:
    """Hyperframe sees the same kind, stream and flags, and writes the same bytes."""
    found, length = Frame.parse_frame_header(memoryview(sent[:9]))
    found.parse_body(memoryview(sent[9:]))
    assert length == len(sent) - 9
    assert repr(found).startswith(read.removesuffix(")"))
    assert found.serialize() == sent


def test_blocks_are_read_by_another_library() -> None:
    """Hpack sees the fields; long values, too, whose length takes several bytes."""
    fields = frames.call_fields(b"/a.B/C", (b"x-long", b"v" * 1000))
    assert list(Decoder().decode(frames.block(fields), raw=True)) == fields
