"""The serving side of traces: traced calls are wrapped, and what they were goes to the sender in packets.

A packet is taken as a whole or not at all, and what the sender is too slow for is dropped: nothing waits here.
"""

import asyncio
import contextlib
import marshal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import structlog

from ratelimit.errors import RpcError
from ratelimit.settings import LogSettings, TracingSettings
from ratelimit.tracing.sampling import Sampling
from ratelimit.transport.methods import DirectMethod, TraceableCall

FLUSH_S = 0.1
RECORDS_AT_ONCE = 100
# A longer request has neither domain nor text in its span: a packet must hold the records of many.
MESSAGE_BYTES_MAX = 1024
DETAILS_MAX = 500
RESTART_S = 10.0
SHUTDOWN_S = 6.0
# The process imports the same package as this one, wherever that was started.
_IMPORT_ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "ratelimit.tracing.sender")

_log = structlog.get_logger(__name__)


class Traces:
    """The traces of one process, and its sender. Made inside the running event loop; raises OSError."""

    def __init__(
        self, settings: TracingSettings, command: tuple[str, ...] = COMMAND, log: LogSettings | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._command = (*command, settings.model_dump_json(), (log or LogSettings()).model_dump_json())
        self._sampling = Sampling(settings.tracing_sampling_rate)
        self._records: list[tuple[Any, ...]] = []
        self.dropped = 0
        self._process, self._socket = self._start()
        self._started = self._loop.time()

    def traced(self, method: DirectMethod) -> DirectMethod:
        """The same method, which tells of the calls that are chosen."""
        chosen, parent = self._sampling.chosen, attrgetter("head.parent")

        def serve(calls: Sequence[Any], messages: Sequence[bytes]) -> None:
            places = chosen(list(map(parent, calls)))
            if places:
                calls = list(calls)
                for place in places:
                    calls[place] = TracedCall(calls[place], messages[place], self.ended)
            method(calls, messages)

        return serve

    def ended(self, call: "TracedCall", error: RpcError | None) -> None:
        """A traced call was answered."""
        took_ns = time.perf_counter_ns() - call.ticks_ns
        parent = call.head.parent
        fields, coded = (parent.fields, parent.coded) if parent is not None else ((), False)
        status, details = (0, "") if error is None else (int(error.grpc_status), error.details[:DETAILS_MAX])
        self._records.append((call.began_ns, took_ns, call.message, (fields, coded), call.peer, status, details))
        if len(self._records) == 1:
            self._loop.call_later(FLUSH_S, self.flush)
        elif len(self._records) >= RECORDS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Hand over what there is."""
        records, self._records = self._records, []
        if not records:
            return
        try:
            self._socket.send(marshal.dumps(records))
        except BlockingIOError:
            self.dropped += len(records)
        except OSError:
            self.dropped += len(records)
            self._restart()

    async def close(self) -> None:
        """Hand over the rest, and let the sender send it, for a moment at most."""
        self.flush()
        self._socket.close()
        try:
            await asyncio.to_thread(self._process.wait, SHUTDOWN_S)
        except subprocess.TimeoutExpired:
            _log.warning("spans could not be sent before the end")
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    def _start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        # By Popen, as reader_process has it; packets keep their borders.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    self._command, stdin=theirs.fileno(), cwd=_IMPORT_ROOT, start_new_session=True
                )
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        return process, ours

    def _restart(self) -> None:
        """The sender has ended by itself: another one, but not again and again."""
        if self._loop.time() < self._started + RESTART_S:
            return
        _log.warning("the process that sends traces has ended; another one is started", code=self._process.poll())
        self._started = self._loop.time()
        self._socket.close()
        self._process.kill()
        with contextlib.suppress(OSError):
            self._process, self._socket = self._start()


class TracedCall:
    """A call that tells of its end; to its method it is the call."""

    __slots__ = ("_call", "_ended", "began_ns", "deadline", "message", "ticks_ns")

    def __init__(
        self, call: TraceableCall, message: bytes, ended: Callable[["TracedCall", RpcError | None], None]
    ) -> None:
        self._call = call
        self._ended = ended
        self.deadline = call.deadline
        self.message = message if len(message) <= MESSAGE_BYTES_MAX else b""
        self.began_ns, self.ticks_ns = time.time_ns(), time.perf_counter_ns()

    @property
    def waiting(self) -> bool:
        """Whether somebody waits for the answer."""
        return self._call.waiting

    @property
    def head(self) -> Any:
        """Its `parent` is the span that called."""
        return self._call.head

    @property
    def peer(self) -> str:
        """The client's address."""
        return self._call.peer

    def reply(self, message: bytes) -> None:
        self._call.reply(message)
        self._ended(self, None)

    def fail(self, error: RpcError) -> None:
        self._call.fail(error)
        self._ended(self, error)
