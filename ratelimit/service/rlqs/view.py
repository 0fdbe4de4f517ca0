"""Who has what share of which limit, as plain values: for the page of the debug port and for `ratelimit explain`."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from ratelimit.descriptors.bucket_id import ordered
from ratelimit.descriptors.limit import Limit
from ratelimit.descriptors.quota_assignment import too_small_to_divide
from ratelimit.descriptors.tree import Config
from ratelimit.quota.options import TUNING
from ratelimit.service.rlqs.ledgers import BucketLedger
from ratelimit.service.rlqs.limits import blanket_of
from ratelimit.service.rlqs.messages import Blanket


def bucket_share(bucket: BucketLedger, now_s: float, envoys_max: int) -> dict[str, Any]:
    """One divided limit: rates in requests per second, so many Envoys at most, those with the most first."""
    shares = bucket.ledger.shares(now_s)
    domain, entries = bucket.divided.key
    shown = asdict(replace(shares, envoys=tuple(shares.envoys)[:envoys_max]))
    return {"domain": domain, "entries": [list(entry) for entry in entries], "envoys_all": len(shares.envoys), **shown}


def order_of(config: Config, domain: str, entries: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """The entries of a bucket id in the order that they are matched in; by their keys where they reach no limit."""
    root = config.domains.get(domain)
    return (ordered(root, entries) if root is not None else None) or tuple(sorted(entries.items()))


def told_of_limit(limit: Limit) -> Iterator[str]:
    """What a bucket that reaches this limit is told, in sentences."""
    rule = blanket_of(limit)
    if rule is None:
        yield from _divided(limit)
    elif rule is Blanket.DENY:
        yield "as a bucket: nothing passes"
    elif limit.unlimited or limit.shadow_mode:
        yield "as a bucket: everything passes, since the limit is " + (
            "unlimited" if limit.unlimited else "in shadow mode"
        )
    else:
        yield "as a bucket: everything passes here; Envoy asks ShouldRateLimit about each request (exact)"


def _divided(limit: Limit) -> Iterator[str]:
    assignment, per_s, ttl_s = limit.quota_assignment, limit.requests_per_unit / limit.window_s, TUNING.ttl_s
    yield f"as a bucket: {per_s:g} requests per second are divided over the Envoys that report it, for {ttl_s} s each"
    if assignment.expected_envoys:
        even = per_s / assignment.expected_envoys
        yield f"an even share of {assignment.expected_envoys} Envoys is {even:g} per second each"
    for name, weight in assignment.weights.items():
        yield f"an Envoy of class {name} counts for {weight:g}"
    if reason := too_small_to_divide(per_s, assignment):
        yield f"warning: {reason}"
