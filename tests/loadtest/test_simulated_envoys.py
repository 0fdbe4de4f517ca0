import asyncio
from math import inf

import pytest

from deploy.demo.quota import configuration
from loadtest import simulated_envoys
from loadtest.simulated_envoys import DOMAIN, KEY, VALUE, SimulatedEnvoy, SimulatedFleet
from ratelimit.quota.assignment import Assign
from ratelimit.service.rlqs.messages import assigned, bucket_of, read_reports, response
from ratelimit.settings import ServerSettings
from ratelimit.transport.native_server import NativeServer
from tests.service.rlqs.streams import quota_service, until


def told(most: int, per_minute: int) -> bytes:
    """A response."""
    return response([assigned(bucket_of({KEY: VALUE}), Assign(most, per_minute, 12))])


@pytest.fixture
def evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests come evenly."""
    monkeypatch.setattr("random.expovariate", lambda rate: 1 / rate)


@pytest.mark.usefixtures("evenly")
def test_an_envoy_obeys_a_bucket_that_starts_full() -> None:
    """Everything passes before; the same again fills nothing, and when it is over nothing passes."""
    admitted: list[float] = []
    envoy = SimulatedEnvoy(100.0, admitted, 0.0)
    envoy.step(1.005)
    assert len(admitted) == 100
    envoy.hear(told(10, 1200), 1.005)
    envoy.step(1.505)
    assert len(admitted) == pytest.approx(100 + 10 + 10, abs=1)
    envoy.hear(told(10, 1200), 1.505)
    envoy.step(2.005)
    assert len(admitted) == pytest.approx(100 + 10 + 20, abs=1)
    envoy.step(20.0)
    assert len(admitted) == pytest.approx(100 + 10 + 20 * 12.5, abs=1)
    before = len(admitted)
    envoy.hear(told(10, 1200), 20.0)
    envoy.step(20.055)
    assert len(admitted) == pytest.approx(before + 5, abs=1)


@pytest.mark.usefixtures("evenly")
def test_an_envoy_reports_what_it_counted_since() -> None:
    """A new bucket at once with one request; then all, in whole seconds."""
    envoy = SimulatedEnvoy(10.0, [], 0.0)
    assert not envoy.wanted_something
    envoy.step(0.45)
    assert envoy.wanted_something
    (first,) = read_reports(envoy.first_report(0.45), 1).usages
    assert first[1:] == (1, 0, 0.0)
    envoy.hear(told(1, 0), 0.45)
    envoy.step(5.95)
    reports = read_reports(envoy.report(5.95), 1)
    assert reports.domain == DOMAIN
    assert reports.usages == [(bucket_of({KEY: VALUE}), 3, 55, 5.0)]


async def test_a_fleet_finds_the_other_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its next report, where the first ended its streams; each is there under its name."""
    monkeypatch.setattr(simulated_envoys, "REPORT_S", 0.05)
    services = [quota_service(configuration(100, 2), rlqs_envoy_metadata="x-envoy-name") for _ in range(2)]
    servers = []
    for service, _ in services:
        server = NativeServer(ServerSettings(grpc_host="127.0.0.1", grpc_port=0))
        server.add_generic_rpc_handlers((service.handler,))
        await server.start()
        servers.append(server)
    fleet = SimulatedFleet([server.port for server in servers], [100.0, 50.0], named=True)
    running = asyncio.ensure_future(fleet.run(3600))
    (_, stats), (other, other_stats) = services
    await until(lambda: stats.acks > 0 and other_stats.acks > 0)
    await servers[0].stop(0)
    (bucket,) = other.ledgers
    await until(lambda: sorted(bucket.listeners) == ["envoy-0", "envoy-1"])
    assert other_stats.streams_active == 2
    assert [reporter.streams for reporter in fleet.reporters][1] == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await servers[1].stop(0)
    for service, _ in services:
        service.close()
    assert fleet.admitted


async def test_a_fleet_ends_when_its_time_is_over() -> None:
    """Nobody is there: everything passes, and it counts from when it has settled."""
    fleet = SimulatedFleet([1], [50.0], named=False)
    await fleet.run(0.1)
    first, last = fleet.span(0.05)
    assert 0 < last - first < inf
