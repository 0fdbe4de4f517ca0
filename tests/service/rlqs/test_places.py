"""What a report touches of each bucket of a stream."""

from math import inf
from typing import Any

import pytest

from ratelimit.quota.assignment import Assign
from ratelimit.quota.ledger import Ledger
from ratelimit.service.rlqs.places import Places
from ratelimit.service.rlqs.rate_limit_quota import RateLimitQuotaService
from tests.service.rlqs.streams import PROD, PingedEnvoy, ledger_of, listener_of, quota_service, report, until


def test_a_place_is_begun_anew_for_each_bucket() -> None:
    """Nothing of the bucket that had it is left."""
    places = Places()
    first = places.add(7, 0.0)
    places.of[b"a"], places.parts[first], places.sure_per_s[first] = first, b"told", 3.0
    second = places.add(8, 0.0)
    places.remove(b"a", first)
    assert (places.of, places.parts) == ({}, [b"", b""])
    assert places.add(9, 1.0) == first
    assert (places.numbers[first], places.numbers[second], places.sure_per_s[first]) == (9, 8, inf)
    places.remove(b"never found", second)


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
    """The ledger hears of it when it plans; until then the next report is not noted but taken in with it."""
    service, _ = quota_service()
    envoy = PingedEnvoy(service)
    ledger = await settled(service, envoy, monkeypatch)
    (row,) = ledger.rows.values()
    last, noted = row.last, report(("name", "prod", 3, 1), elapsed_s=5)
    part = (await envoy.told(noted)).SerializeToString()
    assert (row.noted, row.last) == (True, last)
    assert (await envoy.told(noted)).SerializeToString() == part
    assert (row.noted, row.last > last) == (False, True)
    await envoy.told(noted)
    assert row.noted
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
    assert (list(places.of.values()), places.parts) == ([0], [part])
    await envoy.end()
    service.close()
