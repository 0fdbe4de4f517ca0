"""Configurations and requests at random, of what people write and what is easily got wrong. A seed repeats them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from google.protobuf import wrappers_pb2

from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from ratelimit.pb.envoy.type.v3.ratelimit_unit_pb2 import RateLimitUnit

KEYS = ("path", "user", "a_b", "ip", "k.1", "é")
VALUES = ("x", "y", "10.0.0.1", "x_y", "yes", "", "a:b", "x|y", "prefix-1", "prefix-2")
PATTERNS = ("prefix-*", "*-1", "p*1", "*")
UNITS = ("minute", "hour", "day", "week", "month", "year", "MINUTE", "Hour")
OVERRIDE_UNITS = (
    RateLimitUnit.MINUTE,
    RateLimitUnit.HOUR,
    RateLimitUnit.DAY,
    RateLimitUnit.MONTH,
    RateLimitUnit.YEAR,
)
LIMITS = (0, 1, 2, 3, 5, 10, 4294967295)
ADDENDS = (0, 0, 1, 2, 3, 7, 2**32 - 1)
DEPTH_MAX = 3
REQUESTS = 25
METADATA_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Scenario:
    """One domain and what is asked of it."""

    domain: str
    text: str
    requests: Sequence[rls_pb2.RateLimitRequest]


def scenario(seed: int, *, overrides: bool = True) -> Scenario:
    """The scenario of a seed; without `overrides` no request brings a limit of its own."""
    rng = random.Random(seed)
    domain = rng.choice(("d{}", "d.{}", "d_{}", "d-{}")).format(seed)
    names = [f"n{number}" for number in range(3)]
    tree = descriptors(rng, names, 1)
    if rng.random() < METADATA_SHARE:
        describe(rng, tree, 1)
    text = yaml.safe_dump({"domain": domain, "descriptors": tree}, sort_keys=False, allow_unicode=True)
    paths = list(paths_of(tree))
    requests = [request(rng, domain, paths) for _ in range(REQUESTS)]
    if not overrides:
        for each in (descriptor for request in requests for descriptor in request.descriptors):
            each.ClearField("limit")
    return Scenario(domain, text, requests)


def describe(rng: random.Random, tree: Sequence[dict[str, Any]], depth: int) -> None:
    """Add metadata. The reference loses it where a name of statistics depends on the value: that goes."""
    for each in tree:
        for flag in ("detailed_metric", "value_to_metric"):
            each.pop(flag, None)
        if rng.random() < METADATA_SHARE:
            each["metadata"] = {"owner": rng.choice(VALUES), "level": {"at": depth}}
        describe(rng, each.get("descriptors", ()), depth + 1)


def descriptors(rng: random.Random, names: Sequence[str], depth: int) -> list[dict[str, Any]]:
    """Siblings with different composite keys."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for _ in range(rng.randint(1, 4)):
        each = descriptor(rng, names, depth)
        found.setdefault((each["key"], each.get("value", "")), each)
    composites = {f"{key}_{value}" if value else key: each for (key, value), each in found.items()}
    return list(composites.values())


def descriptor(rng: random.Random, names: Sequence[str], depth: int) -> dict[str, Any]:
    """One descriptor and those below it."""
    found: dict[str, Any] = {"key": rng.choice(KEYS)}
    roll = rng.random()
    if roll < 0.5:
        found["value"] = rng.choice(VALUES)
    elif roll < 0.7:
        found["value"] = rng.choice(PATTERNS)
        if rng.random() < 0.4:
            found["share_threshold"] = True
    below = depth < DEPTH_MAX and rng.random() < 0.4
    if not below or rng.random() < 0.5:
        found["rate_limit"] = limit(rng, names)
    for flag, share in (("shadow_mode", 0.15), ("quota_mode", 0.2), ("detailed_metric", 0.2), ("value_to_metric", 0.2)):
        if rng.random() < share:
            found[flag] = True
    if below:
        found["descriptors"] = descriptors(rng, names, depth + 1)
    return found


def limit(rng: random.Random, names: Sequence[str]) -> dict[str, Any]:
    """One rate_limit."""
    if rng.random() < 0.1:
        found: dict[str, Any] = {"unlimited": True}
    else:
        found = {"unit": rng.choice(UNITS), "requests_per_unit": rng.choice(LIMITS)}
    if rng.random() < 0.3:
        found["name"] = rng.choice(names)
        others = [name for name in names if name != found["name"]]
        if rng.random() < 0.5:
            found["replaces"] = [{"name": rng.choice(others)}]
    return found


def paths_of(tree: Sequence[dict[str, Any]], above: tuple[tuple[str, str], ...] = ()) -> Any:
    """The entries that lead to each descriptor."""
    for each in tree:
        path = (*above, (each["key"], each.get("value", "")))
        yield path
        yield from paths_of(each.get("descriptors", ()), path)


def request(rng: random.Random, domain: str, paths: Sequence[tuple[tuple[str, str], ...]]) -> rls_pb2.RateLimitRequest:
    """One request: mostly of what is configured, at times of something else."""
    found = rls_pb2.RateLimitRequest(domain=domain if rng.random() < 0.97 else rng.choice(("", "other")))
    found.hits_addend = rng.choice(ADDENDS[:-1]) if rng.random() < 0.98 else ADDENDS[-1]
    for _ in range(rng.choice((1, 1, 1, 2, 3)) if rng.random() < 0.98 else 0):
        each = found.descriptors.add()
        path = rng.choice(paths) if rng.random() < 0.9 else ((rng.choice(KEYS), rng.choice(VALUES)),)
        for key, value in path:
            filled = value.replace("*", rng.choice(("1", "q", ""))) if "*" in value else value
            entry = each.entries.add(key=key)
            entry.value = filled if value or rng.random() < 0.3 else rng.choice(VALUES)
        if rng.random() < 0.05:
            each.entries.add(key=rng.choice(KEYS), value=rng.choice(VALUES))
        if rng.random() < 0.1:
            each.limit.requests_per_unit = rng.choice(LIMITS)
            each.limit.unit = rng.choice(OVERRIDE_UNITS)
        if rng.random() < 0.1:
            each.hits_addend.CopyFrom(wrappers_pb2.UInt64Value(value=rng.choice((0, 1, 4))))
    return found


VARIANTS: tuple[dict[str, str], ...] = (
    {},
    {"LIMIT_RESPONSE_HEADERS_ENABLED": "true", "RESPONSE_DYNAMIC_METADATA": "true"},
    {"SHADOW_MODE": "true", "NEAR_LIMIT_RATIO": "0.29"},
    {"QUOTA_MODE": "true", "LIMIT_RESPONSE_HEADERS_ENABLED": "true"},
    {"STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT": "true"},
    {"LOCAL_CACHE_SIZE_IN_BYTES": "1000000", "MERGE_DOMAIN_CONFIG": "true"},
    {"CACHE_KEY_PREFIX": "p:", "RESPONSE_DYNAMIC_METADATA": "true", "NEAR_LIMIT_RATIO": "0"},
)
"""Settings that both servers are given."""
