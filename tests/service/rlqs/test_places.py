"""What a report touches of each bucket of a stream."""

from math import inf
from typing import Any

import pytest

from ratelimit.quota.assignment import Assign
from ratelimit.quota.ledger import Ledger
from ratelimit.service.rlqs.bindings import Binding
from ratelimit.service.rlqs.order import Order
from ratelimit.service.rlqs.places import Places
from ratelimit.service.rlqs.rate_limit_quota import RateLimitQuotaService
from tests.service.rlqs.streams import PROD, PingedEnvoy, ledger_of, listener_of, quota_service, report, until


def test_a_place_is_begun_anew_for_each_bucket() -> None:
    """Nothing of the bucket that had it is left."""
    places = Places()
    first = places.add(7, 0.0)
    places.parts[first], places.sure_per_s[first] = b"told", 3.0
    second = places.add(8, 0.0)
    places.order = Order([b"a", b"b"], [b"a", b"b"])
    places.remove(first)
    assert places.order is None
    assert places.parts == [b"", b""]
    assert places.add(9, 1.0) == first
    assert (places.numbers[first], places.numbers[second], places.sure_per_s[first]) == (9, 8, inf)


async def settled(service: RateLimitQuotaService, envoy: PingedEnvoy, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Its ledger, once it obeys what it was told; it has nothing to say any more."""
    await envoy.told(report(PROD))
    ledger: Any = ledger_of(service).ledger
    (row,) = ledger.rows.values()
    await until(lambda: row.pend == float("inf"))
    monkeypatch.setattr(Ledger, "tick", lambda *_: [])
    envoy.written.clear()
    ledger.head.learn_until_s = float("-inf")
    row.renewed(12)
    return ledger


async def test_what_tells_of_demand_only_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger hears of it when it plans; until then the next report is noted with it."""
    service, _ = quota_service()
    envoy = PingedEnvoy(service)
    ledger = await settled(service, envoy, monkeypatch)
    (row,) = ledger.rows.values()
    last, noted = row.last, report(("name", "prod", 3, 1), elapsed_s=5)
    part = (await envoy.told(noted)).SerializeToString()
    assert (row.noted, row.last) == (True, last)
    assert (await envoy.told(noted)).SerializeToString() == part
    assert (row.noted, row.last) == (True, last)
    assert (row.sheet.allowed[row.place], row.sheet.elapsed_s[row.place]) == (6, 10.0)
    ledger_of(service).ledger.closed(row.envoy, row.last + 5)
    assert (row.noted, row.sheet) == (False, None)
    await envoy.end()
    service.close()


async def test_a_place_tells_nothing_of_the_bucket_that_had_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits to be written of a bucket that the stream has no more is written as it was meant."""
    service, _ = quota_service()
    envoy = PingedEnvoy(service)
    await settled(service, envoy, monkeypatch)
    monkeypatch.undo()
    _, listener = listener_of(service)
    stream = listener.stream
    stream._bindings.leave_all()
    await envoy.told(report(("user", "next", 1, 0)))
    places = stream._bindings.places
    part = places.parts[0]
    stream._tell(listener, Assign(7, 7, 12))
    assert places.parts == [part]
    await envoy.end()
    service.close()


USERS = 130


def of_users(allowed: int, *, of_last: int | None = None, elapsed_s: int = 5) -> bytes:
    """A report of many buckets."""
    counts = [allowed] * (USERS - 1) + [allowed if of_last is None else of_last]
    usages = [("user", f"u{number}", count, 0) for number, count in enumerate(counts)]
    return report(*usages, elapsed_s=elapsed_s)


def stream_of(service: RateLimitQuotaService) -> Any:
    """The one stream there is."""
    listener: Any = next(iter(next(iter(service.ledgers)).listeners.values()))
    return listener.stream


async def answered(envoy: PingedEnvoy, message: bytes) -> list[bytes]:
    """The buckets of the answer to a report, until all have one."""
    envoy.send(message)
    await until(lambda: len(envoy.written) >= USERS)
    buckets = [action.bucket_id.SerializeToString() for action in envoy.written]
    envoy.written.clear()
    return buckets


async def test_buckets_that_come_in_the_same_order_are_noted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """But each that needs more than that is taken in by itself, and each is answered once."""
    service, stats = quota_service()
    envoy = PingedEnvoy(service)
    first = await answered(envoy, of_users(1, elapsed_s=0))
    await until(lambda: stats.acks >= USERS)
    monkeypatch.setattr(Ledger, "tick", lambda *_: [])
    envoy.written.clear()
    stream = stream_of(service)
    ledgers: list[Any] = [bucket.ledger for bucket in service.ledgers]
    rows = [row for ledger in ledgers for row in ledger.rows.values()]
    for ledger in ledgers:
        ledger.head.learn_until_s = float("-inf")
    for row in rows:
        row.renewed(12)
    assert stream._bindings.places.order is None
    rows[70].begin_anew()
    rows[70].tokens = 60
    assert sorted(await answered(envoy, of_users(2, of_last=0))) == sorted(first)
    places = stream._bindings.places
    assert len(places.order.buckets) == USERS
    assert [row.noted for row in rows] == [at not in (70, USERS - 1) for at in range(USERS)]
    assert list(places.allowed[:70]) == [2] * 70
    assert (rows[70].last, rows[-1].zero) == (pytest.approx(places.at_s[70]), 1)
    service.swap(service._shared.config)
    assert sorted(await answered(envoy, of_users(3))) == sorted(first)
    assert all(row.noted for row in rows[:70])
    assert list(stream._bindings.places.allowed[:70]) == [5] * 70
    await envoy.end()
    service.close()


async def test_what_has_no_ledger_keeps_the_others_from_having_an_order() -> None:
    """They are noted one by one."""
    service, _ = quota_service()
    envoy = PingedEnvoy(service)
    mixed = report(PROD, ("name", "free", 1, 0))
    for _ in range(3):
        envoy.send(mixed)
    await until(lambda: len(envoy.written) >= 2)
    _, listener = listener_of(service)
    assert listener.stream._bindings.places.order is None
    await envoy.end()
    service.close()


async def test_few_buckets_are_no_order() -> None:
    """All of the stream would change their places for them."""
    service, stats = quota_service()
    envoy = PingedEnvoy(service)
    for _ in range(3):
        await answered(envoy, of_users(1, elapsed_s=0))
    stream = stream_of(service)
    order = stream._bindings.places.order
    assert len(order.buckets) == USERS
    for _ in range(3):
        envoy.send(report(("user", "u1", 1, 0)))
    await until(lambda: stats.reports == 6)
    assert stream._bindings.places.order is order
    await envoy.end()
    service.close()


async def test_another_order_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted of a bucket stays that bucket's, whichever order it comes in, and how often."""
    service, stats = quota_service()
    envoy = PingedEnvoy(service)
    names = ["a", "b", "c"]
    envoy.send(report(*(("user", name, 1, 0) for name in names)))
    await until(lambda: stats.acks >= len(names))
    monkeypatch.setattr(Ledger, "tick", lambda *_: [])
    ledgers: dict[str, Any] = {bucket.divided.key[1][0][1]: bucket.ledger for bucket in service.ledgers}
    for turn, order in enumerate(["abc", "abc", "abc", "cab", "cab", "cab", "abc", "c", "c", "ca", "ca", "abc", "abc"]):
        for ledger in ledgers.values():
            ledger.head.learn_until_s = float("-inf")
            for row in ledger.rows.values():
                ledger._reckon((row,))
                row.renewed(12)
        envoy.written.clear()
        counts = {name: 10 * turn + names.index(name) + 1 for name in order}
        envoy.send(report(*(("user", name, counts[name], 0) for name in order), elapsed_s=5))
        await until(lambda order=order: len(envoy.written) >= len(order))
        for name in order:
            (row,) = ledgers[name].rows.values()
            assert row.sheet.allowed[row.place] == counts[name]
    await envoy.end()
    service.close()


async def test_a_stream_falls_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of its buckets show that it does not obey; they show nothing more from then on."""
    service, stats = quota_service()
    envoy = PingedEnvoy(service)
    for _ in range(2):
        await answered(envoy, of_users(1, elapsed_s=0))
    places = stream_of(service)._bindings.places
    monkeypatch.setattr(Binding, "contradicts", lambda *_: True)
    await answered(envoy, of_users(2))
    await answered(envoy, of_users(3))
    assert stats.ack_fallbacks == 1
    assert set(places.sure_per_s) == {inf}
    await envoy.end()
    service.close()
