from typing import Any

import grpc
import grpc.aio
import pytest

from ratelimit.pb.envoy.service.rate_limit_quota.v3 import rlqs_pb2
from ratelimit.quota.ledger_store import NOTHING, Commit, Committed
from ratelimit.service.rlqs.messages import QUOTA_METHOD, QUOTA_SERVICE_NAME
from ratelimit.settings import ServerSettings
from ratelimit.transport.grpcio_server import GrpcioServer
from ratelimit.transport.native_server import NativeServer
from tests.service.rlqs.streams import Envoy, PingedEnvoy, quota_service, report, until

PROD = report(("name", "prod", 1, 0))
LOOPBACK = ServerSettings(grpc_host="127.0.0.1", grpc_port=0)


class Store:
    """A `LedgerStore` that takes everything, and is asked by one replica."""

    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self.version = NOTHING

    def commit(self, commit: Commit, done: object) -> None:
        self.commits.append(commit)
        self.version += bool(commit.rows)
        assert callable(done)
        done(Committed(self.version, 1_700_000_000.0))


@pytest.mark.parametrize("make", [NativeServer, GrpcioServer])
async def test_both_transports_serve_it(make: type[NativeServer] | type[GrpcioServer]) -> None:
    """The native one acknowledges by PING; a broken report ends its stream with the reason; a drain ends streams."""
    service, stats = quota_service()
    server = make(LOOPBACK)
    server.add_generic_rpc_handlers((service.handler,))
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        method: Any = channel.stream_stream(f"/{QUOTA_SERVICE_NAME}/{QUOTA_METHOD}")
        calls = [method(), method()]
        for call in calls:
            await call.write(PROD)
            (action,) = rlqs_pb2.RateLimitQuotaResponse.FromString(await call.read()).bucket_action
            assert action.HasField("quota_assignment_action")
        if make is NativeServer:
            await until(lambda: stats.acks >= 2)
        await calls[0].write(b"\xff")
        assert await calls[0].code() is grpc.StatusCode.INTERNAL
        await until(lambda: stats.streams_active == 1)
        await server.stop(3600)
        assert await calls[1].code() is grpc.StatusCode.UNAVAILABLE
    await until(lambda: stats.streams_active == 0)
    service.close()


async def test_streams_are_bounded() -> None:
    """One more hears so at once; an end makes room."""
    service, stats = quota_service(rlqs_streams_max=1)
    one, other = PingedEnvoy(service), Envoy(service)
    await one.told(PROD)
    await other.over()
    assert other.aborted == (grpc.StatusCode.RESOURCE_EXHAUSTED, "1 streams are open")
    assert stats.streams_refused == 1
    await one.end()
    again = PingedEnvoy(service)
    await again.told(PROD)
    await again.end()
    assert stats.streams_total == 2
    service.close()


async def test_nothing_is_told_before_it_is_in_the_store() -> None:
    """Then the store wakes the ledger; a limit that changes is so in the copy, with the copy's own tuning."""
    store = Store()
    service, _ = quota_service(store=store)
    envoy = PingedEnvoy(service)
    told = await envoy.told(report(("name", "prod", 1, 0)))
    assert told.quota_assignment_action.rate_limit_strategy.token_bucket.tokens_per_fill.value > 0
    assert any(commit.rows for commit in store.commits)
    (bucket,) = service.ledgers
    tuning = bucket.ledger.options.tuning
    bucket.ledger.options = type(bucket.ledger.options)(7.0)
    assert bucket.ledger.shares(0.0).limit == 7.0
    assert tuning == bucket.ledger.options.tuning
    ((_, make),) = service.shares()
    share = make(100)
    assert (share["domain"], share["entries"], share["envoys_all"]) == ("d", [["name", "prod"]], 1)
    await envoy.end()
    service.close()
