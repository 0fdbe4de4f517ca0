"""The contract suite of gRPC servers: a real client against each of them, grpcio being the oracle."""

import asyncio
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc.aio
import psutil
import pytest
import pytest_asyncio

from deploy.demo.processes import free_port
from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.settings import ServerSettings
from ratelimit.transport import grpcio_server, open_calls
from ratelimit.transport.methods import Call, DirectMethod, GrpcServer

PATH = "/test.Echo/Say"


def echo(calls: Sequence[Call], messages: Sequence[bytes]) -> None:
    """Answer with the message; fail for `fail`; answer twice for `twice`; later for `later`."""
    for call, message in zip(calls, messages, strict=True):
        if message == b"fail":
            call.fail(RpcError(GrpcStatus.UNAVAILABLE, "déjà vu\n"))
        elif message == b"later":
            asyncio.get_running_loop().call_later(0.01, call.reply, b"now")
        else:
            call.reply(message)
            if message == b"twice":
                call.reply(b"again")
                call.fail(RpcError(GrpcStatus.INTERNAL, "again"))


LOOPBACK = ServerSettings(grpc_host="127.0.0.1", grpc_port=0)


class Held:
    """A direct method whose calls are answered by the test; `came` is set with the first."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.came = asyncio.Event()

    def __call__(self, calls: Sequence[Call], _: Sequence[bytes]) -> None:
        self.calls += calls
        self.came.set()


async def answered(channel: grpc.aio.Channel) -> None:
    """Wait until a channel is connected and answered."""
    assert await channel.unary_unary(PATH)(b"hi") == b"hi"


async def yielding(_: bytes, __: object) -> AsyncIterator[bytes]:
    """A stream that yields once and stays open."""
    yield b"one"
    await asyncio.Event().wait()


async def writing(_: bytes, context: Any) -> None:
    """The same, writing by itself."""
    await context.write(b"one")
    await asyncio.Event().wait()


SCARCE = """
import asyncio, resource, sys
from tests.transport.server_contract import LOOPBACK
from tests.transport.{module} import {name} as Contract
async def main():
    server = await Contract().serve(LOOPBACK)
    end = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    await asyncio.sleep(0)  # the thread is there: what it imports needs a descriptor
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
    print(server.port, flush=True)
    await end
    await server.stop(0)
asyncio.run(main())
"""


class ServerContract:
    """What every `GrpcServer` does; a subclass in a test file says which one is made."""

    @staticmethod
    def make(settings: ServerSettings) -> GrpcServer:
        """A server that is not started yet."""
        raise NotImplementedError

    async def serve(self, settings: ServerSettings, method: DirectMethod = echo, **streams: Any) -> GrpcServer:
        """A running echo server."""
        server = self.make(settings)
        server.add_direct_method(PATH, method)
        handlers: dict[str, Any] = {
            name: grpc.unary_stream_rpc_method_handler(behaviour) for name, behaviour in streams.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Stream", handlers),))
        server.add_registered_method_handlers("test.Stream", handlers)
        await server.start()
        return server

    @pytest_asyncio.fixture
    async def channel(self) -> AsyncIterator[grpc.aio.Channel]:
        """Grpcio's own client on an echo server."""
        server = await self.serve(ServerSettings(grpc_host="127.0.0.1", grpc_port=0, grpc_max_recv_msg_bytes=1000))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield channel
        await server.stop(0)

    @pytest.mark.parametrize(
        ("message", "answer"), [(b"hi", b"hi"), (b"", b""), (b"twice", b"twice"), (b"later", b"now")]
    )
    async def test_the_first_answer_ends_a_call(self, channel: grpc.aio.Channel, message: bytes, answer: bytes) -> None:
        """Now or later, once."""
        assert await channel.unary_unary(PATH)(message) == answer

    @pytest.mark.parametrize(
        ("path", "message", "status", "details"),
        [
            (PATH, b"fail", grpc.StatusCode.UNAVAILABLE, "déjà vu\n"),
            (PATH, b"x" * 2000, grpc.StatusCode.RESOURCE_EXHAUSTED, ""),
            ("/test.Echo/Nothing", b"", grpc.StatusCode.UNIMPLEMENTED, ""),
        ],
    )
    async def test_errors_have_their_status(
        self, channel: grpc.aio.Channel, path: str, message: bytes, status: grpc.StatusCode, details: str
    ) -> None:
        """Ours with their words, the library's with its own."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(path)(message)
        assert caught.value.code() is status
        assert details in str(caught.value.details())

    async def test_a_unix_socket(self, tmp_path: Path) -> None:
        """GRPC_UDS takes the place of host and port."""
        path = tmp_path / "rl.sock"
        server = await self.serve(ServerSettings(grpc_uds=str(path)))
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            assert await channel.unary_unary(PATH)(b"hi") == b"hi"
        await server.stop(0)

    async def test_an_address_that_cannot_be_bound_is_named(self) -> None:
        """The error says which variables to look at."""
        with pytest.raises(OSError, match="GRPC_HOST, GRPC_PORT"):
            await self.serve(ServerSettings(grpc_host="192.0.2.1", grpc_port=1))

    async def test_a_port_in_use_is_an_error_unless_it_is_shared_on_purpose(self) -> None:
        """Two instances would split the traffic unseen; REUSE_PORT=true asks for it."""
        first = await self.serve(LOOPBACK)
        with pytest.raises(OSError, match=r"Address already in use") as caught:
            await self.serve(ServerSettings(grpc_host="127.0.0.1", grpc_port=first.port))
        assert str(caught.value).endswith(f"127.0.0.1:{first.port} (GRPC_HOST, GRPC_PORT): Address already in use")
        await first.stop(0)
        shared = ServerSettings(grpc_host="127.0.0.1", grpc_port=free_port(), reuse_port=True)
        for server in [await self.serve(shared), await self.serve(shared)]:
            await server.stop(0)

    async def test_a_socket_in_use_is_not_taken_away(self, tmp_path: Path) -> None:
        """GRPC_UDS of a running instance is an error too; one left behind by a crash is not."""
        settings = ServerSettings(grpc_uds=str(tmp_path / "rl.sock"))
        first = await self.serve(settings)
        with pytest.raises(OSError, match=r"GRPC_UDS.*Address already in use"):
            await self.serve(settings)
        await first.stop(0)
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(str(tmp_path / "left.sock"))
        await (await self.serve(ServerSettings(grpc_uds=str(tmp_path / "left.sock")))).stop(0)

    async def test_a_socket_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        """A folder that is not there: the error names the variable."""
        with pytest.raises(OSError, match=r"none.*GRPC_UDS"):
            await self.serve(ServerSettings(grpc_uds=str(tmp_path / "none" / "rl.sock")))

    @pytest.mark.parametrize("host", ["::", "[::]", "", "::1", "[::1]"])
    async def test_every_notation_of_ipv6_listens(self, host: str) -> None:
        """GRPC_HOST with brackets, without, and empty."""
        server = await self.serve(ServerSettings.model_validate({"grpc_host": host, "grpc_port": 0}))
        async with grpc.aio.insecure_channel(f"[::1]:{server.port}") as channel:
            assert await channel.unary_unary(PATH)(b"hi") == b"hi"
        await server.stop(0)

    @pytest.mark.parametrize(("clients", "grace_s"), [(1, 30), (8, 30), (8, 0)])
    async def test_a_stop_under_load_fails_no_call(
        self, clients: int, grace_s: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Clients of two servers, each asking again as soon as it is answered: one goes, and every call is answered.

        Without a grace (a second signal) too: what is answered at once is no reason to wait, and none to cancel.
        """
        # What is a moment in production may be too short for clients on a machine that runs other tests.
        monkeypatch.setattr(open_calls, "HOLD_S_MAX", 10)
        monkeypatch.setattr(open_calls, "QUIET_S", 0.1)
        monkeypatch.setattr(grpcio_server, "ANSWER_S", 10)
        monkeypatch.setattr(grpcio_server, "GOAWAY_S", 0.5)
        servers = [await self.serve(LOOPBACK), await self.serve(LOOPBACK)]
        addresses = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        ended, answers = asyncio.Event(), Counter[object]()

        async def client(channel: grpc.aio.Channel) -> None:
            while not ended.is_set():
                try:
                    answers[await channel.unary_unary(PATH)(b"later")] += 1
                except grpc.aio.AioRpcError as error:
                    answers[error.code()] += 1
                    return  # a failure that repeats at once would fill the memory

        options = (("grpc.use_local_subchannel_pool", 1),)
        channels = [grpc.aio.insecure_channel(f"ipv4:{addresses}", options) for _ in range(4)]
        load = asyncio.gather(*(client(channel) for channel in channels for _ in range(clients)))
        await answered(channels[0])
        await servers[0].stop(grace_s)
        ended.set()
        await load
        # Before anything is judged: a server of grpcio that is left running blocks whoever collects it.
        await asyncio.gather(*(channel.close() for channel in channels), servers[1].stop(0))
        assert list(answers) == [b"now"]

    async def test_a_stop_waits_for_the_answer_of_a_call_in_flight(self) -> None:
        """Within the grace it is answered, not cancelled."""
        method = Held()
        server = await self.serve(LOOPBACK, method)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call: Any = asyncio.ensure_future(channel.unary_unary(PATH)(b""))
            await method.came.wait()
            stopping = asyncio.ensure_future(server.stop(30))
            await asyncio.sleep(0.05)  # the stop is under way
            assert not stopping.done()
            method.calls[0].reply(b"done")
            assert await call == b"done"
            await stopping

    @pytest.mark.parametrize("grace_s", [0.0, 0.05])
    async def test_a_call_without_an_answer_ends_unavailable_with_the_grace(self, grace_s: float) -> None:
        """UNAVAILABLE is what clients retry elsewhere; a stop that waits is cut short by one that does not."""
        method = Held()
        server = await self.serve(LOOPBACK, method)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call: Any = asyncio.ensure_future(channel.unary_unary(PATH)(b""))
            await method.came.wait()
            patient = asyncio.ensure_future(server.stop(3600))
            await asyncio.sleep(0.05)  # the stop is under way
            patient.cancel()
            await asyncio.wait_for(server.stop(grace_s), 30)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    @pytest.mark.parametrize("behaviour", [yielding, writing])
    async def test_an_open_stream_does_not_hold_the_stop(self, behaviour: Callable[..., Any]) -> None:
        """It ends with UNAVAILABLE when the server begins to close, whichever way it is written."""
        server = await self.serve(LOOPBACK, Stay=behaviour)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stream: Any = channel.unary_stream("/test.Stream/Stay")(b"")
            assert await stream.read() == b"one"
            await asyncio.wait_for(server.stop(3600), 30)
            assert await stream.code() is grpc.StatusCode.UNAVAILABLE

    @pytest.mark.parametrize("timeout_s", [0.05, None])
    async def test_a_call_that_is_over_for_its_client_waits_no_longer(self, timeout_s: float | None) -> None:
        """Expired or cancelled: the method sees that nobody waits, and until when anybody would have."""
        method = Held()
        server = await self.serve(LOOPBACK, method)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call: Any = channel.unary_unary(PATH)(b"", timeout=timeout_s)
            await asyncio.wait_for(method.came.wait(), 30)
            left_s = method.calls[0].deadline - asyncio.get_running_loop().time()
            assert left_s < 1 if timeout_s else left_s == float("inf")
            call.cancel() if timeout_s is None else None
            async with asyncio.timeout(30):
                while method.calls[0].waiting:  # noqa: ASYNC110 - the library tells nobody
                    await asyncio.sleep(0.005)
        await server.stop(0)

    async def test_accepting_survives_a_lack_of_file_descriptors(self) -> None:
        """Silent connections take them all; when they go, the next client is served."""
        root = Path(__file__).parents[2]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            SCARCE.format(module=type(self).__module__.rpartition(".")[2], name=type(self).__name__),
            cwd=root,
            **pipes,
        )
        assert program.stdout is not None
        port = int(await program.stdout.readline())
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(80)]
        async with asyncio.timeout(60):
            while psutil.Process(program.pid).num_fds() < 60:  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(0.01)
        for connection in silent:
            connection.close()
        async with asyncio.timeout(60), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            ask: Any = channel.unary_unary(PATH)
            while await ask(b"hi", wait_for_ready=True).code() is not grpc.StatusCode.OK:
                continue  # this connection may be among those that were accepted and dropped
        await program.communicate(b"")
        assert program.returncode == 0
