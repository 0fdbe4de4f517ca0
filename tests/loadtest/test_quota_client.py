import asyncio
import random
from functools import partial
from math import inf

import pytest

from loadtest.answers import LoadFailedError
from loadtest.bench_rlqs import quota_config
from loadtest.quota_client import DOMAIN, KEY, REPORT_S, EnvoyProtocol, Laps, LoadEnvoy, QuotaLoad, demands, envoys_of
from ratelimit.quota.assignment import Assign
from ratelimit.service.rlqs.messages import assigned, bucket_of, entries_of, read_reports, response
from ratelimit.settings import ServerSettings
from ratelimit.transport.native_server import NativeServer
from tests.service.rlqs.streams import quota_service, until

LOAD = QuotaLoad(0, buckets=3, envoys=2, limit_per_s=100.0)


def envoy(noise: float = 0.0) -> LoadEnvoy:
    """One that wants 60/s of one bucket, 6/s of the other."""
    return LoadEnvoy({bucket_of({KEY: each}): place for place, each in enumerate("ab")}, [60.0, 6.0], lambda: noise)


def test_demands_differ_and_come_to_half_more_than_the_limit() -> None:
    """By 1/k; who wants the most differs by bucket."""
    assert demands(LOAD) == [100.0, 50.0]
    one, other = envoys_of(LOAD, random.Random(1))
    assert [one._wanted, other._wanted] == [[100.0, 50.0, 100.0], [50.0, 100.0, 50.0]]


def test_an_envoy_reports_all_and_obeys() -> None:
    """First one request each; then what it wanted, and let pass as far as it was told, from when on it was told."""
    one = envoy()
    first = read_reports(one.report(0.0), 2)
    assert first.domain == DOMAIN
    assert [counts for _, *counts in first.usages] == [[1, 0, 0.0]] * 2
    assert entries_of(first.usages[0][0]) == {KEY: "a"}
    one.sent(0.0)
    one.take(response([assigned(bucket_of({KEY: "a"}), Assign(5, 600, 12))]), 0.0)
    one.take(response([assigned(bucket_of({KEY: "a"}), Assign(5, 1200, 12))]), 4.0)
    usages = read_reports(one.report(5.0), 2).usages
    assert [counts for _, *counts in usages] == [[60, 240, REPORT_S], [30, 0, REPORT_S]]
    assert read_reports(one.report(10.0), 2).usages[0][1] == 100
    assert read_reports(envoy_reported(noise=-inf).report(5.0), 2).usages[0][1] == 0


def envoy_reported(noise: float) -> LoadEnvoy:
    """One after its first report."""
    one = envoy(max(noise, -1000.0))
    one.sent(0.0)
    return one


def test_a_report_is_answered_when_its_last_bucket_is() -> None:
    """However many responses that takes; a report before that is late, and a lap begins anew."""
    one = envoy()
    laps = Laps([one])
    told = [assigned(bucket_of({KEY: each}), Assign(5, 600, 12)) for each in "ab"]
    one.sent(10.0)
    one.take(response(told[:1]), 10.1)
    assert not laps.told_all
    one.take(response(told[:1]), 10.2)
    one.take(response(told[1:]), 10.5)
    assert laps.told_all
    one.take(response(told), 10.9)
    one.sent(15.0)
    one.sent(20.0)
    lap = laps.next()
    assert (lap.reports, lap.late, lap.actions, lap.max_ms) == (1, 1, 5, pytest.approx(500))
    assert laps.next().reports == 0


async def test_the_service_answers_over_sockets() -> None:
    """All buckets, again and again; the PINGs behind them are answered, and an end is told."""
    service, stats = quota_service(quota_config(2))
    server = NativeServer(ServerSettings(grpc_host="127.0.0.1", grpc_port=0))
    server.add_generic_rpc_handlers((service.handler,))
    await server.start()
    failures: list[Exception] = []
    envoys = envoys_of(LOAD, random.Random(1))
    loop = asyncio.get_running_loop()
    protocols = []
    for each in envoys:
        make = partial(EnvoyProtocol, each, failures.append)
        protocols.append((await loop.create_connection(make, "127.0.0.1", server.port))[1])
    for protocol in protocols:
        protocol.report()
    await until(lambda: all(each.told_all for each in envoys))
    for protocol in protocols:
        protocol.report()
    await until(lambda: all(len(each.latencies) == 2 for each in envoys))
    assert stats.acks >= 6
    assert failures == []
    protocols[0].close()
    await until(lambda: failures)
    await server.stop(0)
    await until(lambda: any("ended the stream" in str(failure) for failure in failures))
    assert all(isinstance(each, LoadFailedError) for each in failures)
    for protocol in protocols:
        protocol.close()
    service.close()
