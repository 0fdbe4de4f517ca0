"""What a coroutine method is given beside its request: the context of grpc.aio, on a call of our own.

It does what grpcio's does, errors and their words included, so that servicers run unchanged on either. Where that
differs from its own documentation, `cancelled` and `done` follow the documentation: true also when the client is gone.
"""

import asyncio
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, NoReturn

import grpc
import grpc.aio

from ratelimit.errors import GrpcStatus
from ratelimit.transport.calls import Call
from ratelimit.transport.servicer_streams import Requests, Responses

FINISHED = "RPC already finished."
_KEY = re.compile(r"[0-9a-z_.-]+")
# The space apart, which may not stand at an end (RFC 9113 §8.2.1).
_VALUE = re.compile(rb"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?")
_CONNECTION = ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
_RESERVED = frozenset((*_CONNECTION, "content-length", "content-type", "host"))
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
# In the order in which TLS names a peer.
_IDENTITY_KEYS = ("x509_subject_alternative_name", "x509_common_name")


class Metadatum(NamedTuple):
    """A pair of metadata, as grpcio's."""

    key: str
    value: str | bytes


class Codec(NamedTuple):
    """How a method's messages become objects and bytes again; None for raw bytes."""

    deserialize: Callable[[bytes], Any] | None
    serialize: Callable[[Any], bytes] | None

    def decode(self, message: bytes) -> Any:
        """A request. Raises whatever the deserialiser does."""
        return message if self.deserialize is None else self.deserialize(message)

    def encode(self, response: Any) -> bytes:
        """A response's bytes. Raises TypeError, and whatever the serialiser does."""
        message = response if self.serialize is None else self.serialize(response)
        if not isinstance(message, bytes):
            raise TypeError(f"a response must be bytes, not {type(message).__name__}")
        return message


class Context(grpc.aio.ServicerContext[Any, Any]):
    """`grpc.aio.ServicerContext`; `aborted` is the error that `abort` raised."""

    def __init__(self, call: Call, requests: Requests, responses: Responses, codec: Codec) -> None:
        self.aborted: grpc.aio.AbortError | None = None
        self.metadata: tuple[Metadatum, ...] = ()
        self.callbacks: list[Callable[[Any], Any]] = []
        self._call = call
        self._requests = requests
        self._responses = responses
        self._codec = codec
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self._trailing: tuple[Any, ...] = ()
        self._broken_off = False

    async def read(self) -> Any:
        """The next request, `grpc.aio.EOF` after the last."""
        self.check()
        message = await self._requests.next()
        self.check()
        return grpc.aio.EOF if message is None else self.decode(message)

    async def write(self, message: Any) -> None:
        """Send a response, and wait until there is room for another."""
        self.check()
        self._responses.message(self._codec.encode(message))
        await self._responses.room()

    def acknowledged(self) -> "asyncio.Future[None]":
        """Done when the peer has read every message written until now; cancelled where that will not be known.

        Not of grpcio: a servicer asks whether its context has this. What a proxy between has read is read here.
        """
        self.check()
        return self._responses.acknowledged()

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        self.check()
        if self._responses.begun:
            raise grpc.aio.UsageError("Send initial metadata failed: already sent")
        self._responses.begin(checked_metadata(initial_metadata))

    async def abort(self, code: grpc.StatusCode | int, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """End the call with an error, and raise `AbortError` to leave the method."""
        if self.aborted is not None:
            raise grpc.aio.UsageError("Abort already called!")
        self.check()
        code, trailing = _status_code(code), checked_metadata(trailing_metadata)
        if code is grpc.StatusCode.OK:
            raise ValueError("a call cannot be aborted with OK")
        self._code, self._trailing = code, trailing or self._trailing
        self.set_details(details or self._details)
        raise self._abort()

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        await self.abort(status.code, status.details, status.trailing_metadata)

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self._trailing = checked_metadata(trailing_metadata)

    def trailing_metadata(self) -> Any:
        return self._trailing

    def invocation_metadata(self) -> Any:
        """The client's, without what gRPC itself needs; values of keys in ``-bin`` are bytes."""
        return self.metadata

    def set_code(self, code: grpc.StatusCode | int) -> None:
        self._code = _status_code(code)

    def code(self) -> Any:
        """What was set, None before."""
        return self._code

    def set_details(self, details: str) -> None:
        if not isinstance(details, str):
            raise TypeError(f"the details of a status are text, not {type(details).__name__}")
        self._details = details

    def details(self) -> str:
        return self._details

    def set_compression(self, compression: grpc.Compression) -> None:  # noqa: ARG002 - the client need not know it
        """Accepted, and not needed: responses go out as they are."""
        if self._responses.begun:
            raise RuntimeError("Compression setting must be specified before sending initial metadata")

    def disable_next_message_compression(self) -> None:
        """Nothing is compressed."""

    def peer(self) -> str:
        peer: str = self._call.connection.peer
        return peer

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        auth_context: Mapping[str, Iterable[bytes]] = self._call.connection.auth_context
        return auth_context

    def peer_identity_key(self) -> str | None:
        known = self.auth_context()
        return next((key for key in _IDENTITY_KEYS if known.get(key)), None)

    def peer_identities(self) -> Iterable[bytes] | None:
        key = self.peer_identity_key()
        return None if key is None else self.auth_context()[key]

    def time_remaining(self) -> Any:
        """Seconds, None without a deadline."""
        if self._call.deadline == math.inf:
            return None
        return max(0.0, self._call.deadline - asyncio.get_running_loop().time())

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        self.callbacks.append(callback)

    def cancelled(self) -> bool:
        return self._broken_off or self._code is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        return not self._call.waiting

    def break_off(self) -> None:
        """The call ended before its method did."""
        self._broken_off = True

    def check(self) -> None:
        """Raise where the call is over: a method that suppressed that has to stop all the same."""
        if self.aborted is not None:
            raise self.aborted
        if not self._call.waiting:
            raise grpc.aio.UsageError(FINISHED)

    def decode(self, message: bytes) -> Any:
        """A request as an object; one that is none ends the call with INTERNAL, as `abort` would."""
        try:
            return self._codec.decode(message)
        except Exception as error:
            self._code, self._details = grpc.StatusCode.INTERNAL, f"the request cannot be read: {error}"
            raise self._abort() from error

    def end(self) -> None:
        """End the call with the status that was set, OK without."""
        self._responses.end(self._status, self._details, self._trailing)

    def end_with(self, response: Any) -> None:
        """End the call with its one response, which only goes out with OK."""
        if self._status == GrpcStatus.OK:
            message = self._codec.encode(response)
            if not (self._responses.begun or self._details or self._trailing):
                self._call.reply(message)
                return
            self._responses.message(message)
        self.end()

    def end_unexpectedly(self, error: BaseException) -> None:
        """End the call for an error of the method's, with its code where it set one."""
        if not self._status:
            self._code = grpc.StatusCode.UNKNOWN
        self._details = f"Unexpected {type(error)}: {error}"
        self.end()

    def _abort(self) -> grpc.aio.AbortError:
        """End the call; the error that leaves the method, and that stops one which suppresses it."""
        self.aborted = grpc.aio.AbortError("Locally aborted.")
        self.end()
        return self.aborted

    @property
    def _status(self) -> int:
        status: int = GrpcStatus.OK if self._code is None else self._code.value[0]
        return status


def checked_metadata(metadata: Any) -> tuple[Any, ...]:
    """Metadata to send. Raises ValueError or TypeError for what no peer would take, naming the key."""
    pairs = tuple(metadata or ())
    for key, value in pairs:
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise ValueError(f"metadata key {key!r}: only 0-9, a-z, '_', '-' and '.' are allowed")
        if key.startswith("grpc-") or key in _RESERVED:
            raise ValueError(f"metadata key {key!r} is reserved for the protocol")
        if not isinstance(value, str | bytes):
            raise TypeError(f"metadata key {key!r}: the value is neither text nor bytes")
        raw = value.encode() if isinstance(value, str) else value
        if not key.endswith("-bin") and not _VALUE.fullmatch(raw):
            raise ValueError(f"metadata key {key!r}: only printable ASCII, with no blank at either end, is allowed")
    return pairs


def _status_code(code: grpc.StatusCode | int) -> grpc.StatusCode:
    found = code if isinstance(code, grpc.StatusCode) else _CODES.get(code)
    if found is None:
        raise ValueError(f"{code!r} is no gRPC status code")
    return found
