import pytest

from ratelimit.transport import frames


@pytest.mark.parametrize(
    ("packed", "wire"),
    [
        (
            frames.frame(frames.PING, frames.ACK, frames.CONNECTION, b"12345678"),
            "000008 06 01 00000000 3132333435363738",
        ),
        (frames.settings({}), "000000 04 00 00000000"),
        (frames.settings({frames.INITIAL_WINDOW_SIZE: 2**31 - 1}), "000006 04 00 00000000 0004 7fffffff"),
        (frames.rst_stream(b"\0\0\0\x05", frames.ErrorCode.CANCEL), "000004 03 00 00000005 00000008"),
        (frames.window_update(frames.CONNECTION, 65_535), "000004 08 00 00000000 0000ffff"),
        (frames.goaway(frames.STREAM_ID_MAX, 0), "000008 07 00 00000000 7fffffff 00000000"),
        (
            frames.goaway(b"\0\0\0\x01", frames.ErrorCode.ENHANCE_YOUR_CALM, "!"),
            "000009070000000000 00000001 0000000b 21",
        ),
    ],
    ids=["PING", "SETTINGS", "a setting", "RST_STREAM", "WINDOW_UPDATE", "GOAWAY", "a reason"],
)
def test_frames_are_laid_out_as_the_rfc_says(packed: bytes, wire: str) -> None:
    """RFC 9113 §4.1 and §6, octet by octet."""
    assert packed == bytes.fromhex(wire)


@pytest.mark.parametrize("size", [0, 1, 255, 256, frames.FRAME_BYTES_MAX])
def test_a_frame_begins_as_start_of_says(size: int) -> None:
    """The five octets before the stream id, for answers that are joined from constants."""
    whole = frames.frame(frames.DATA, frames.END_STREAM, b"\0\0\0\x03", bytes(size))
    assert whole[:5] == frames.start_of(frames.DATA, frames.END_STREAM, size)
    assert len(whole) == frames.HEADER_BYTES + size


def test_a_reason_cannot_make_goaway_long() -> None:
    """Debug data is for people, and may hold what the peer sent."""
    assert len(frames.goaway(frames.CONNECTION, 1, "x" * 100_000)) == frames.HEADER_BYTES + 8 + 256


def test_ids_as_bytes_are_in_order() -> None:
    """Streams are compared by their ids as they came."""
    ids = [number.to_bytes(4, "big") for number in (1, 3, 255, 257, 65_537, 2**31 - 1)]
    assert ids == sorted(ids)
    assert ids[-1] == frames.STREAM_ID_MAX
