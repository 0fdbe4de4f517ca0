from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import dns.asyncresolver
import dns.name
import dns.resolver
import pytest

from ratelimit.stores.memcached.addresses import resolve_srv, srv_addresses

NAME = "_memcache._tcp.example.org"


def record(priority: int, weight: int, target: str, port: int = 11211) -> Any:
    """A SRV record as dnspython gives it."""
    return SimpleNamespace(priority=priority, weight=weight, target=dns.name.from_text(target), port=port)


async def test_servers_have_one_order() -> None:
    """By priority, weight and name, however the resolver shuffles; one that is named twice is one server."""
    records = [record(2, 1, "c."), record(1, 1, "b."), record(1, 9, "z."), record(1, 1, "a."), record(1, 1, "a.", 5)]

    async def shuffled(_: str) -> Sequence[Any]:
        return [*reversed(records), *records]

    expected = [("z", 11211), ("a", 5), ("a", 11211), ("b", 11211), ("c", 11211)]
    assert await srv_addresses(NAME, shuffled) == expected


@pytest.mark.parametrize("records", [[], [record(0, 0, ".")]])
async def test_no_servers_is_an_error(records: list[Any]) -> None:
    """A target of "." says that the service is not there (RFC 2782)."""

    async def empty(_: str) -> Sequence[Any]:
        return records

    with pytest.raises(OSError, match=f"MEMCACHE_SRV: {NAME}: no servers"):
        await srv_addresses(NAME, empty)


async def test_the_system_s_resolver_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """For SRV records, within a bounded time; its failures are ours to tell."""
    asked: list[tuple[Any, ...]] = []

    async def resolve(name: str, kind: str, *, lifetime: float) -> Any:
        asked.append((name, kind, lifetime > 0))
        raise dns.resolver.NXDOMAIN

    monkeypatch.setattr(dns.asyncresolver, "resolve", resolve)
    with pytest.raises(OSError, match=NAME):
        await srv_addresses(NAME, resolve_srv)
    assert asked == [(NAME, "SRV", True)]
