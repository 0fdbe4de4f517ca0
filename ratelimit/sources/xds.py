"""Configuration from a control plane: ADS, state of the world (CONFIG_TYPE=GRPC_XDS_SOTW).

    stream opened ─► DiscoveryRequest (node, type, version that is in force)
    DiscoveryResponse ─► read and checked in a process of its own (`reader_process`), as files are
        whole and right: the listener has it, ACK with its version
        wrong: the one before stays in force, NACK with the error and the version that is in force
    stream lost ─► another one after a while, at random ever later up to XDS_CLIENT_BACKOFF_MAX_INTERVAL

A response is all there is: what is not in it any more is removed. gRPC's own client speaks.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import grpc.aio
import structlog

from ratelimit.descriptors.tree import Node
from ratelimit.errors import ConfigError
from ratelimit.lifetime import end_tasks
from ratelimit.sources.handover import Job
from ratelimit.sources.reader_process import read, release
from ratelimit.sources.source import Listener
from ratelimit.sources.xds_messages import METHOD, TYPE_URL, Response, read_response
from ratelimit.sources.xds_messages import Node as XdsNode

# A control plane that is gone without a word is noticed so; servers refuse pings that come more often.
KEEPALIVE_MS = 300_000
RECONNECT_S_MIN = 0.05

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Paths of PEM files, empty for none, and the name that the server's certificate must carry, empty for its host."""

    cacert: str = ""
    client_cert: str = ""
    client_key: str = ""
    san: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """How long to wait before another stream, in seconds.

    `connect_s` while the control plane cannot be reached, half of it more or less. After a stream that was lost
    `initial_s`, times `factor` at each loss without a response between, `most_s` at most; a `jitter` takes a random
    moment between `initial_s` and that.
    """

    connect_s: float = 3.0
    initial_s: float = 10.0
    most_s: float = 60.0
    factor: float = 0.5
    jitter: bool = True

    def after(self, losses: int) -> float:
        """The wait after so many losses in a row, 1 or more."""
        grown = self.initial_s * min(self.factor, 1e3) ** min(losses - 1, 100) if self.factor > 0 else self.initial_s
        wait_s = max(self.initial_s, min(grown, self.most_s))
        return random.uniform(self.initial_s, wait_s) if self.jitter else wait_s  # noqa: S311 - it spreads

    def reconnect(self) -> float:
        """The wait before the next try to reach it."""
        return max(RECONNECT_S_MIN, self.connect_s * random.uniform(0.5, 1.5))  # noqa: S311 - likewise


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Whom to ask, and as whom. `headers` go with each stream; `tls` None speaks in the clear.

    `message_bytes_max` bounds a response, 0 for gRPC's own bound of 4 MiB.
    """

    target: str = "localhost:18000"
    node_id: str = "default"
    node_metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: ServerTls | None = None
    message_bytes_max: int = 0
    retry: Retry = field(default_factory=Retry)


class ControlPlaneSource:
    """Follows a control plane: a `Source`. `merge_domains` is MERGE_DOMAIN_CONFIG.

    `wait` False starts without a first configuration (FORCE_START_WITHOUT_INITIAL_CONFIG).
    """

    def __init__(
        self, plane: ControlPlane, listener: Listener, *, merge_domains: bool = False, wait: bool = True
    ) -> None:
        self.plane = plane
        self._node = XdsNode(plane.node_id, plane.node_metadata)
        self._listener = listener
        self._merge_domains = merge_domains
        self._wait = wait
        # What is in force: its version, and what stands for its resources.
        self._version = ""
        self._digest = ""
        self._pieces: list[list[Node]] = []
        # The error that was told last, as long as it holds; and why there is no stream, empty while there is one.
        self._failing = ""
        self._away = ""
        self._losses = 0
        self._told = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Follow from now on; wait for the first configuration, be it a wrong one."""
        self._task = asyncio.create_task(self._follow())
        if self._wait:
            _log.info("waiting for the first configuration", control_plane=self.plane.target)
            await self._told.wait()

    async def close(self) -> None:
        """End the stream, and a load that runs."""
        await end_tasks(self._task)

    async def _follow(self) -> None:
        while True:
            responses = 0
            try:
                async with self._stream() as stream:
                    while True:
                        await self._respond(stream, await self._next(stream))
                        responses += 1
            except (grpc.RpcError, OSError) as error:
                self._note_away(_reason(error))
            except Exception:  # noqa: BLE001 - a listener that raises is told again; nothing ends the source
                _log.exception("the configuration could not be taken, it is asked for again")
            self._losses = 1 if responses else self._losses + 1
            lost = responses or self._version
            await asyncio.sleep(self.plane.retry.after(self._losses) if lost else self.plane.retry.reconnect())

    @contextlib.asynccontextmanager
    async def _stream(self) -> AsyncIterator[Any]:
        """A new stream on a connection of its own, with the first request sent. Raises RpcError and OSError."""
        plane = self.plane
        options = channel_options(plane)
        if plane.tls is None:
            channel = grpc.aio.insecure_channel(plane.target, options)
        else:
            channel = grpc.aio.secure_channel(plane.target, await asyncio.to_thread(credentials, plane.tls), options)
        async with channel:
            stream: Any = channel.stream_stream(METHOD)(
                metadata=[(name.lower(), value) for name, value in plane.headers.items()]
            )
            try:
                await self._write(stream, self._node.request(self._version))
                yield stream
            finally:
                stream.cancel()

    async def _next(self, stream: Any) -> bytes:
        """The next response. Raises RpcError, or OSError for the end of the stream."""
        response = await stream.read()
        if not isinstance(response, bytes):
            await _raise_status(stream)
        if self._away:
            _log.warning("the control plane is back", control_plane=self.plane.target)
            self._away = ""
        return response

    async def _write(self, stream: Any, request: bytes) -> None:
        try:
            await stream.write(request)
        except asyncio.InvalidStateError:  # the stream has ended: its status says why
            await _raise_status(stream)

    async def _respond(self, stream: Any, message: bytes) -> None:
        """Take a response, and say how that went. Raises OSError where another try may help."""
        try:
            response = read_response(message)
        except ValueError as odd:
            raise OSError(f"sent {odd}") from None
        error, lasting = await self._load(response)
        if error is None:
            self._version = response.version
        await self._write(stream, self._node.request(self._version, response.nonce, str(error or "")))
        if not lasting:
            raise OSError(str(error))

    async def _load(self, response: Response) -> tuple[ConfigError | None, bool]:
        """What is wrong with a response, and whether it stays so; the listener is told."""
        if response.type_url != TYPE_URL:
            error = ConfigError(f"a response of type {response.type_url!r}: {TYPE_URL} is wanted")
            self._failed(error)
            return error, True
        answer = await read(self._job(), response=response.message)
        if answer.error is not None:
            self._failed(answer.error)
            return answer.error, bool(answer.digest)
        if answer.config is not None:
            old, self._pieces = self._pieces, answer.pieces
            self._digest = ""  # if the listener raises, the next response must not find it unchanged
            for warning in answer.config.warnings:
                _log.warning("configuration", warning=warning)
            self._listener.loaded(answer.config)
            self._digest = answer.digest
            answer.config = None
            await release(old)
        elif self._failing:
            _log.warning("the configuration is right again, and unchanged", control_plane=self.plane.target)
        self._failing = ""
        self._told.set()
        return None, True

    def _failed(self, error: ConfigError) -> None:
        if self._failing != str(error):
            self._listener.failed(error)
            self._failing = str(error)
        self._told.set()

    def _job(self) -> Job:
        return Job("", merge_domains=self._merge_domains, known=self._digest, control_plane=self.plane.target)

    def _note_away(self, reason: str) -> None:
        """One line when it goes, and at a level that nobody reads by default where the reason changes."""
        if reason == self._away:
            return
        told = _log.info if self._away else _log.warning
        told("the control plane is away, what it said last stays", control_plane=self.plane.target, reason=reason)
        self._away = reason


def channel_options(plane: ControlPlane) -> list[tuple[str, Any]]:
    """Options of gRPC for the connection."""
    options: list[tuple[str, Any]] = [
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        # Each stream has a connection of its own, and not one that another channel left behind.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if plane.message_bytes_max:
        options.append(("grpc.max_receive_message_length", plane.message_bytes_max))
    if plane.tls is not None and plane.tls.san:
        options.append(("grpc.ssl_target_name_override", plane.tls.san))
    return options


def credentials(tls: ServerTls) -> grpc.ChannelCredentials:
    """What the files hold now: they may be renewed at any time. Raises OSError naming the file.

    Half of a client's pair counts for nothing, as with the store's: gRPC's core would end the process over it.
    """
    key, cert = (tls.client_key, tls.client_cert) if tls.client_key and tls.client_cert else ("", "")
    return grpc.ssl_channel_credentials(_read(tls.cacert), _read(key), _read(cert))


def _read(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None


async def _raise_status(stream: Any) -> NoReturn:
    """Raise why a stream ended."""
    code, details = await stream.code(), await stream.details()
    raise OSError(f"{code.name}: {details}" if details else f"the stream ended: {code.name}")


def _reason(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error)
