"""Where the servers are: a list, or the SRV records of a name.

Records are put in one order, by priority, weight and name: a key's server depends on it, and resolvers shuffle.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import dns.asyncresolver
import dns.exception

from ratelimit.stores.memcached.server import Address

RESOLVE_TIMEOUT_S = 5.0

Resolve = Callable[[str], Awaitable[Iterable[Any]]]
"""Finds the SRV records of a name: each has priority, weight, target and port. Raises DNSException."""


async def resolve_srv(name: str) -> Iterable[Any]:
    """The SRV records of a name, from the system's resolvers."""
    return await dns.asyncresolver.resolve(name, "SRV", lifetime=RESOLVE_TIMEOUT_S)


async def srv_addresses(name: str, resolve: Resolve = resolve_srv) -> list[Address]:
    """The servers of an SRV name, in the order that keys are spread in. Raises OSError."""
    try:
        records = list(await resolve(name))
    except dns.exception.DNSException as error:
        raise OSError(f"MEMCACHE_SRV: {name}: {error or type(error).__name__}") from None
    found = sorted((each.priority, -each.weight, str(each.target).rstrip("."), each.port) for each in records)
    addresses = [(host, port) for _, _, host, port in found if host]
    if not addresses:
        raise OSError(f"MEMCACHE_SRV: {name}: no servers")
    return list(dict.fromkeys(addresses))
