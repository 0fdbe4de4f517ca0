import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from ratelimit.descriptors.tree import Config
from ratelimit.errors import ConfigError
from ratelimit.sources import reader_process, xds
from ratelimit.sources.handover import Job
from ratelimit.sources.reader_process import Answer
from ratelimit.sources.source import Listener
from ratelimit.sources.xds import ControlPlane, ControlPlaneSource, Retry, ServerTls, channel_options
from tests.sources.control_plane import ControlPlaneServer, Stream, domain, packed
from tests.transport.test_tls import certificate

QUICK = Retry(connect_s=0.05, initial_s=0.05, most_s=0.05)


class Following:
    """A source that follows a control plane, and what it told."""

    def __init__(
        self,
        server: ControlPlaneServer,
        tls: ServerTls | None = None,
        *,
        merge_domains: bool = False,
        message_bytes_max: int = 0,
    ) -> None:
        self.told: asyncio.Queue[Config | ConfigError] = asyncio.Queue()
        self.fails = False
        plane = ControlPlane(
            f"127.0.0.1:{server.port}",
            "node-1",
            {"role": "gateway"},
            {"X-Token": "secret"},
            tls,
            message_bytes_max,
            QUICK,
        )
        listener = Listener(self._loaded, self.told.put_nowait)
        self.source = ControlPlaneSource(plane, listener, merge_domains=merge_domains)

    def _loaded(self, config: Config) -> None:
        if self.fails:
            self.fails = False
            raise ValueError("the listener failed")
        self.told.put_nowait(config)

    async def domains(self) -> list[str]:
        """The domains of the next load, which must be good."""
        config = await asyncio.wait_for(self.told.get(), 30)
        assert isinstance(config, Config), config
        return list(config.domains)

    async def error(self) -> str:
        """The next load, which must be broken."""
        error = await asyncio.wait_for(self.told.get(), 30)
        assert isinstance(error, ConfigError), error
        return str(error)

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator[asyncio.Future[None]]:
        """Follow; the start, which may still wait."""
        starting = asyncio.ensure_future(self.source.start())
        try:
            yield starting
        finally:
            await self.source.close()
            starting.cancel()


@contextlib.asynccontextmanager
async def meeting(*, merge_domains: bool = False) -> AsyncIterator[tuple[Following, ControlPlaneServer, Stream]]:
    """A source and a control plane on a stream whose first request was heard."""
    server = ControlPlaneServer()
    async with server.listening():
        following = Following(server, merge_domains=merge_domains)
        async with following.started():
            stream = await server.stream()
            assert (stream.first.version_info, stream.first.response_nonce) == ("", "")
            yield following, server, stream


async def lost(logs: list[EventDict]) -> None:
    """Wait until the control plane is told to be away."""
    async with asyncio.timeout(30):
        while not any("is away" in log["event"] for log in logs):  # noqa: ASYNC110 - a log has no event to wait for
            await asyncio.sleep(0.001)


async def test_what_is_sent_is_loaded_and_acknowledged() -> None:
    """The start waits for the first; each is all there is, so what is not in it any more is removed."""
    server = ControlPlaneServer()
    async with server.listening():
        following = Following(server)
        async with following.started() as starting:
            stream = await server.stream()
            request = stream.first
            assert request.type_url == "type.googleapis.com/ratelimit.config.ratelimit.v3.RateLimitConfig"
            assert (request.node.id, dict(request.node.metadata)) == ("node-1", {"role": "gateway"})
            assert stream.metadata["x-token"] == "secret"
            assert not starting.done()
            answer = await stream.say("1", packed(domain("a")), packed(domain("b")))
            assert (answer.version_info, answer.HasField("error_detail")) == ("1", False)
            await starting
            assert await following.domains() == ["a", "b"]
            assert (await stream.say("2", packed(domain("b", 7)))).version_info == "2"
            assert await following.domains() == ["b"]
            assert (await stream.say("3")).version_info == "3"
            assert await following.domains() == []


async def test_a_wrong_one_is_refused_and_the_one_before_stays() -> None:
    """NACK with the place and the version in force; a repetition is told once, the right one again goes unnoticed."""
    async with meeting() as (following, _, stream):
        good, bad = packed(domain("a")), packed({"name": "bad", "domain": "b", "descriptors": [{}]})
        await stream.say("1", good)
        assert await following.domains() == ["a"]
        for version in ("2", "3"):
            answer = await stream.say(version, good, bad)
            assert answer.version_info == "1"
            assert answer.error_detail.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
            assert answer.error_detail.message == "bad: descriptors[0].key: descriptor has empty key"
        assert await following.error() == "bad: descriptors[0].key: descriptor has empty key"
        with capture_logs() as logs:
            assert (await stream.say("4", good)).version_info == "4"
        assert [log["event"] for log in logs] == ["the configuration is right again, and unchanged"]
        await stream.say("5", packed(domain("c")))
        assert await following.domains() == ["c"]


async def test_a_first_one_that_is_wrong_ends_the_wait_too() -> None:
    """Every call fails until there is one, as with files."""
    async with meeting() as (following, _, stream):
        answer = await stream.say("1", type_url="type.googleapis.com/other")
        assert answer.error_detail.message.startswith("a response of type 'type.googleapis.com/other'")
        assert (await following.error()).startswith("a response of type")


async def test_domains_may_be_merged() -> None:
    """MERGE_DOMAIN_CONFIG."""
    async with meeting(merge_domains=True) as (following, _, stream):
        other = {**domain("a"), "name": "b", "descriptors": [{"key": "other"}]}
        await stream.say("1", packed(domain("a")), packed(other))
        assert await following.domains() == ["a"]


async def test_a_control_plane_that_comes_back_is_followed_again() -> None:
    """It is told which version is in force; the same resources are acknowledged and are no news."""
    async with meeting() as (following, server, stream):
        await stream.say("1", packed(domain("a")))
        assert await following.domains() == ["a"]
        with capture_logs() as logs:
            stream.end()
            again = await server.stream()
            assert again.first.version_info == "1"
            assert (await again.say("1", packed(domain("a")))).version_info == "1"
            await again.say("2", packed(domain("b")))
        assert await following.domains() == ["b"]
        told = [log["event"] for log in logs]
        assert told == ["the control plane is away, what it said last stays", "the control plane is back"]


async def test_a_control_plane_that_is_not_there_yet_is_waited_for() -> None:
    """One line says so; it is reached when it comes."""
    server = ControlPlaneServer()
    async with server.listening():
        pass
    following = Following(server)
    with capture_logs() as logs:
        async with following.started():
            await lost(logs)
            async with server.listening():
                stream = await server.stream()
                await stream.say("1", packed(domain("a")))
                assert await following.domains() == ["a"]
    assert [log["event"] for log in logs if log["log_level"] == "warning"][:2] == [
        "the control plane is away, what it said last stays",
        "the control plane is back",
    ]


async def test_a_listener_that_raises_is_told_again() -> None:
    """The stream is opened anew, and the same resources are loaded."""
    async with meeting() as (following, server, stream):
        following.fails = True
        with capture_logs() as logs:
            stream.send("1", packed(domain("a")))
            again = await server.stream()
            await again.say("1", packed(domain("a")))
        assert await following.domains() == ["a"]
        assert [log["event"] for log in logs] == ["the configuration could not be taken, it is asked for again"]


async def test_what_another_try_may_mend_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that could not be started is no fault of the configuration: refused, and soon asked for again."""
    broken = [ConfigError("the process that reads it cannot be started", file="x")]

    async def read(job: Job, *, response: bytes) -> Answer:
        return Answer(error=broken.pop()) if broken else await reader_process.read(job, response=response)

    monkeypatch.setattr(xds, "read", read)
    async with meeting() as (following, server, stream):
        answer = await stream.say("1", packed(domain("a")))
        assert answer.error_detail.message == "x: the process that reads it cannot be started"
        assert (await following.error()).startswith("x: the process")
        again = await server.stream()
        await again.say("1", packed(domain("a")))
        assert await following.domains() == ["a"]


async def test_a_response_beyond_the_bound_is_not_taken() -> None:
    """XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES: the stream ends, and the reason is told."""
    server = ControlPlaneServer()
    async with server.listening():
        following = Following(server, message_bytes_max=1000)
        async with following.started():
            with capture_logs() as logs:
                stream = await server.stream()
                stream.send("1", packed(domain("d" * 2000)))
                stream = await server.stream()
                await stream.say("2", packed(domain("a")))
            assert await following.domains() == ["a"]
    away = next(log for log in logs if log["log_level"] == "warning")
    assert away["reason"].startswith("RESOURCE_EXHAUSTED")


async def test_what_is_no_response_ends_the_stream() -> None:
    """Bytes that are no message are no configuration either."""
    source = ControlPlaneSource(ControlPlane(), Listener(print, print))
    with pytest.raises(OSError, match="sent no DiscoveryResponse"):
        await source._respond(None, b"\xff")


async def test_the_name_of_the_server_is_checked(tmp_path: Path) -> None:
    """CONFIG_GRPC_XDS_SERVER_TLS_SAN is what its certificate must carry; ours is shown. Renewed files are read anew."""
    server_pair = certificate(tmp_path, "server", "DNS:control.plane")
    client_pair = certificate(tmp_path, "client", "DNS:client")
    chain, key, authority = (Path(path).read_bytes() for path in (server_pair[0], server_pair[1], client_pair[0]))
    credentials = grpc.ssl_server_credentials([(key, chain)], authority, require_client_auth=True)
    server = ControlPlaneServer()
    late = tmp_path / "late.crt"
    async with server.listening(credentials):
        following = Following(server, ServerTls(str(late), *client_pair, san="control.plane"))
        with capture_logs() as logs:
            async with following.started():
                await lost(logs)
                late.write_bytes(chain)
                stream = await server.stream()
                await stream.say("1", packed(domain("a")))
                assert await following.domains() == ["a"]
    assert "late.crt" in next(log["reason"] for log in logs if "is away" in log["event"])


async def test_another_servers_certificate_is_refused(tmp_path: Path) -> None:
    """Without the name in it there is no stream."""
    chain_path, key_path = certificate(tmp_path, "server", "DNS:control.plane")
    chain, key = Path(chain_path).read_bytes(), Path(key_path).read_bytes()
    server = ControlPlaneServer()
    async with server.listening(grpc.ssl_server_credentials([(key, chain)])):
        following = Following(server, ServerTls(chain_path, san="other"))
        with capture_logs() as logs:
            async with following.started() as starting:
                await lost(logs)
                assert not starting.done()
    assert logs[-1]["reason"].startswith("UNAVAILABLE")


@pytest.mark.parametrize("half", ["client_cert", "client_key"])
async def test_half_of_a_client_s_pair_counts_for_nothing(tmp_path: Path, half: str) -> None:
    """The connection is made without it, and the process goes on."""
    chain_path, key_path = certificate(tmp_path, "server", "DNS:control.plane")
    chain, key = Path(chain_path).read_bytes(), Path(key_path).read_bytes()
    server = ControlPlaneServer()
    async with server.listening(grpc.ssl_server_credentials([(key, chain)])):
        tls = ServerTls(chain_path, san="control.plane", **{half: chain_path})
        following = Following(server, tls)
        async with following.started():
            stream = await server.stream()
            await stream.say("1", packed(domain("a")))
            assert await following.domains() == ["a"]


async def test_it_need_not_be_waited_for() -> None:
    """FORCE_START_WITHOUT_INITIAL_CONFIG."""
    source = ControlPlaneSource(ControlPlane("127.0.0.1:1", retry=QUICK), Listener(print, print), wait=False)
    await source.start()
    await source.close()


async def test_it_may_be_closed_before_its_start() -> None:
    """Nothing is there to end."""
    await ControlPlaneSource(ControlPlane(), Listener(print, print)).close()


def test_waits_grow_up_to_a_bound() -> None:
    """By the factor at each loss; a factor below 1, as is the default, keeps them as they are."""
    retry = Retry(initial_s=1, most_s=10, factor=2, jitter=False)
    assert [retry.after(losses) for losses in (1, 2, 3, 4, 5, 10_000)] == [1, 2, 4, 8, 10, 10]
    assert {Retry(initial_s=1, most_s=10, factor=factor, jitter=False).after(5) for factor in (0, 0.5, -1)} == {1}
    assert all(1 <= Retry(initial_s=1, most_s=10, factor=2).after(5) <= 10 for _ in range(100))
    assert all(1.5 <= Retry().reconnect() <= 4.5 for _ in range(100))


def test_options_of_the_connection() -> None:
    """The bound of gRPC itself for a message stays where none is set."""
    plain = dict(channel_options(ControlPlane()))
    assert "grpc.max_receive_message_length" not in plain
    secure = dict(channel_options(ControlPlane(tls=ServerTls(san="a"), message_bytes_max=7)))
    assert (secure["grpc.max_receive_message_length"], secure["grpc.ssl_target_name_override"]) == (7, "a")
