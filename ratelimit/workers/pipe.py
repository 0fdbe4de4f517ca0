"""What the supervisor and a worker say to each other: lines of JSON on a socket pair, each with one word.

To the worker:
    {"start": {"worker": number, "grpc_port": port}}   the first
    {"begin": generation}                              pieces of this configuration follow, any before are void
    {"nodes": [row, …]}                                a piece, as `sources.handover` has it
    {"whole": generation}                              that was all of it
    {"swap": generation}                               put it in force
    {"serve": true}                                    take calls
    {"ask": id, "message": base64, "counted": boolean} answer a request; counted: not without the store
    {"drain": "calmly"} or {"drain": "now"}            end; so does the end of the socket
    {"watch": boolean}                                 note which keys are hit, or no more
    {"stage": number}                                   every worker has come to this stage of the drain

To the supervisor:
    {"whole": generation}, {"swapped": generation}     it has been received; it is in force
    {"serving": true}                                  calls are taken
    {"healthy": boolean}                               whether they are welcome
    {"counted": {…}}                                   an increment of the metrics: the sign of life, too
    {"keys": {…}}                                      the keys it noted, once a second while it was told to watch
    {"answer": id, "message": base64}                  the response
    {"refusal": id, "status": code, "details": text}   or why there is none
    {"stage": number}                                   it has come to this stage of the drain, and waits for the others
    {"failed": reason}, {"gave_up": reason}            why it ends: it cannot start; it waited for the store in vain

JSON, as for a configuration that is read: pieces of it go on as they are, and reading runs no code.
"""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

from ratelimit.metrics import Snapshot

# One node of a configuration may hold texts as long as a file, and JSON escapes triple them.
LINE_BYTES_MAX = 64 * 1024 * 1024
# So little is read ahead of what is understood, so that whoever is slow is fed slowly.
READ_BYTES = 64 * 1024


class Pipe:
    """One end. Whatever is sent when the other end is gone is dropped: the end of `lines` tells."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> "Pipe":
        """Take over one end of a socket pair."""
        return cls(*await asyncio.open_connection(sock=end, limit=READ_BYTES))

    def send(self, **fields: Any) -> None:
        """Say something short."""
        self._write(line(**fields))

    async def send_piece(self, piece: bytes) -> None:
        """Send a line of something long when there is room for it. Raises OSError where the other end is gone."""
        self._write(piece)
        await self._writer.drain()

    async def lines(self) -> AsyncIterator[dict[str, Any]]:
        """What comes, to the end of the pipe; the loop runs after each. Raises ValueError for what is no line."""
        parts: list[bytes] = []
        held = 0
        while data := await self._read():
            *whole, rest = data.split(b"\n")
            for text in whole:
                yield json.loads(b"".join((*parts, text)))
                parts.clear()
                held = 0
                await asyncio.sleep(0)
            parts.append(rest)
            held += len(rest)
            if held > LINE_BYTES_MAX:
                raise ValueError("a line without an end")

    async def close(self) -> None:
        """Close this end when what was sent is on its way. Raises OSError where nobody takes it."""
        self._writer.close()
        await self._writer.wait_closed()

    def abort(self) -> None:
        """Close this end at once."""
        self._writer.transport.abort()

    def _write(self, text: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(text)

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(READ_BYTES)
        except OSError:  # reset: the other end was killed with our words unread
            return b""


def line(**fields: Any) -> bytes:
    """One line."""
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def increment_line(increment: Snapshot) -> bytes:
    """What was counted; nothing where that is nothing."""
    fields: dict[str, Any] = {
        name: value
        for name in ("singles", "configured", "dynamic", "domains_not_found", "shares")
        if (value := getattr(increment, name))
    }
    if any(increment.calls):
        fields |= {"calls": increment.calls, "seconds": increment.seconds}
    return line(counted=fields) if fields else b""


def text_of(message: bytes) -> str:
    """A serialised message as text."""
    return base64.b64encode(message).decode()


def message_of(text: str) -> bytes:
    """The message of a text."""
    return base64.b64decode(text)


SIGN_OF_LIFE = line(counted={})
