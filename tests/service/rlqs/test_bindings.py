from typing import Any, cast

import grpc

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.quota.assignment import Assign
from ratelimit.service.rlqs.bindings import Binding
from ratelimit.service.rlqs.messages import bucket_of
from tests.service.rlqs.streams import CONFIG, PROD, Envoy, PingedEnvoy, ledger_of, quota_service, report, until


def users(*names: str) -> bytes:
    """A report of buckets that have ledgers of their own."""
    return report(*(("user", name, 1, 0) for name in names))


async def test_buckets_of_a_stream_are_bounded() -> None:
    """One more ends it; a hostile stream of ids that reach no limit holds no more than that either."""
    service, stats = quota_service(rlqs_stream_buckets_max=3)
    envoy = PingedEnvoy(service)
    for name in ("a", "b", "c"):
        await envoy.told(users(name))
    envoy.send(users("e"))
    await envoy.over()
    assert envoy.aborted == (grpc.StatusCode.RESOURCE_EXHAUSTED, "more than 3 buckets in one stream")
    assert (stats.rows, len(service.ledgers)) == (0, 3)  # what is in force there still counts
    hostile = Envoy(service)
    for number in range(20):
        hostile.send(report(("name", f"unknown-{number}", 1, 0)))
    await until(lambda: stats.unknown_buckets == 20)
    await hostile.end()
    assert hostile.aborted is None
    service.close()


async def test_buckets_and_rows_of_a_domain_are_bounded() -> None:
    """What is beyond is told what unknown buckets are told."""
    service, stats = quota_service(rlqs_domain_rows_max=2, rlqs_unknown_bucket="deny")
    one, other = PingedEnvoy(service), PingedEnvoy(service)
    await one.told(users("a"))
    await one.told(users("b"))
    told = await other.told(users("c"))
    assert told.quota_assignment_action.rate_limit_strategy.blanket_rule == 1
    assert (stats.rows, stats.buckets_refused) == (2, 1)
    await one.end()
    await other.end()
    service.close()


async def test_buckets_that_share_a_counter_have_a_row_each() -> None:
    """One ledger divides one limit over both."""
    service, _ = quota_service()
    envoy = PingedEnvoy(service)
    await envoy.told(report(("ip", "10.1", 1, 0)))
    await envoy.told(report(("ip", "10.2", 1, 0)))
    (bucket,) = service.ledgers
    names = sorted(share.envoy for share in bucket.ledger.shares(0.0).envoys)
    assert len(names) == 2
    assert all("#" in name for name in names)
    await envoy.end()
    service.close()


async def test_a_reload_is_in_force_with_the_next_report() -> None:
    """A limit that changed, one that is gone, one that is new; a bucket whose limit did not change keeps its row."""
    service, stats = quota_service()
    envoy = PingedEnvoy(service)
    await envoy.told(users("a"))
    await envoy.told(report(("name", "free", 1, 0)))
    (bucket,) = service.ledgers

    def load(text: str) -> None:
        service.swap(load_config([ConfigFile("f.yaml", text.encode())]))

    load(CONFIG.replace("requests_per_unit: 6000", "requests_per_unit: 60"))
    await envoy.told(users("a"))
    assert (bucket.ledger.options.limit_per_s, stats.rows) == (1.0, 1)
    load(CONFIG.replace("key: user", "key: nobody"))
    told = await envoy.told(users("a"))
    assert told.quota_assignment_action.rate_limit_strategy.blanket_rule == 0
    assert (stats.rows, stats.unknown_buckets) == (0, 1)
    load(CONFIG.replace("unlimited: true", "unit: second, requests_per_unit: 50"))
    envoy.send(report(("name", "free", 1, 0)))
    await until(lambda: stats.rows == 1)
    await envoy.end()
    service.close()


async def test_a_weight_that_changed_counts_with_the_next_report() -> None:
    """Also where that is only noted, and where it is no more than that of others."""
    service, stats = quota_service(rlqs_class_metadata="x-class")
    envoy = PingedEnvoy(service, {"x-class": "edge"})
    await envoy.told(report(PROD))
    await until(lambda: stats.acks == 1)
    ledger: Any = ledger_of(service).ledger
    (row,) = ledger.rows.values()
    assert row.weight == 2.0
    for weight in (3.0, 1.0):
        text = CONFIG.replace("weights: {edge: 2}", f"weights: {{edge: {weight:g}}}")
        service.swap(load_config([ConfigFile("f.yaml", text.encode())]))
        row.renewed(12)
        envoy.written.clear()
        await envoy.told(report(("name", "prod", 5, 0), elapsed_s=5))
        assert row.weight == weight
    await envoy.end()
    service.close()


def told(binding: Binding, action: Assign, now_s: float) -> None:
    """As a stream writes it."""
    before = binding.told
    binding.tell(action)
    if action != before:
        binding.written(before, action, now_s, now_s)


def test_what_is_obeyed_since_long_is_not_looked_at_closely() -> None:
    """While an assignment is new each token is counted; a new bucket, and one without us for long, are not judged."""
    binding = Binding(cast("Any", None), bucket_of({"a": "1"}), cast("Any", None), "row", 0)
    binding.begin_anew(0.0)
    assert binding.sure_per_s < 0
    told(binding, Assign(10, 6000, 12), 0.0)
    assert [binding.contradicts(9000, 5, at_s) for at_s in (5.0, 10.0)] == [False, True]
    assert binding.given is None
    assert binding.sure_per_s == 100.0
    assert [binding.contradicts(allowed, 5, at_s) for at_s, allowed in ((15.0, 550), (20.0, 9000))] == [False, True]
    told(binding, Assign(10, 600, 12), 20.0)
    assert binding.sure_per_s < 0
    assert binding.contradicts(500, 5, 25.0)
    binding.begin_anew(38.0)
    assert not binding.contradicts(9000, 5, 44.0)
