"""What a bucket id comes to under a configuration: a limit that a ledger divides, or an answer without one."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from ratelimit.descriptors.bucket_id import ordered
from ratelimit.descriptors.limit import Limit
from ratelimit.descriptors.request import Descriptor
from ratelimit.descriptors.tree import Config
from ratelimit.quota.options import AckMode, LedgerOptions
from ratelimit.service.rlqs.messages import Blanket

# A ledger of one configuration: its domain, and the entries that share it, in the order of the tree.
LedgerKey: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
NAME_BYTES_MAX = 200


@dataclass(slots=True)
class Divided:
    """A limit that is divided. `shared`: other bucket ids have the same ledger (share_threshold).

    `stat_key` names the limit in the metrics; `configured` as for `tree.Match`.
    """

    key: LedgerKey
    limit: Limit
    stat_key: str
    configured: bool
    shared: bool
    options: LedgerOptions


def find(config: Config, domain: str, entries: dict[str, str], ack: AckMode) -> Divided | Blanket | None:
    """What the bucket comes to, with a ledger that is acknowledged so; None where no limit of the domain is reached."""
    root = config.domains.get(domain)
    order = None if root is None else ordered(root, entries)
    match = None if order is None else config.match(domain, Descriptor(order))
    if match is None:
        return None
    limit = match.limit
    rule = blanket_of(limit)
    if rule is not None:
        return rule
    shared, options = match.counter_entries != order, ledger_options(limit, ack)
    return Divided((domain, match.counter_entries), limit, match.stat_key, match.configured, shared, options)


def blanket_of(limit: Limit) -> Blanket | None:
    """What a bucket that reaches this limit is told without a ledger; None where it is divided."""
    if limit.unlimited or limit.shadow_mode or limit.quota_assignment.exact:
        return Blanket.ALLOW
    return Blanket.DENY if limit.requests_per_unit == 0 else None


def ledger_options(limit: Limit, ack: AckMode) -> LedgerOptions:
    """What a ledger of this limit is made for."""
    assignment, limit_per_s = limit.quota_assignment, limit.requests_per_unit / limit.window_s
    return _options(limit_per_s, assignment.minimum_share, assignment.expected_envoys, ack)


@lru_cache(1000)
def _options(limit_per_s: float, share_min: float, envoys_expected: int, ack: AckMode) -> LedgerOptions:
    """One object for the thousand ledgers of a limit."""
    return LedgerOptions(limit_per_s, share_min, envoys_expected, ack)


def name_of(key: LedgerKey) -> bytes:
    """A ledger's name in the store: its domain and entries, unambiguous, and short however long they are."""
    name = json.dumps([key[0], *key[1]], ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    if len(name) <= NAME_BYTES_MAX:
        return name
    return hashlib.blake2b(name, digest_size=16).hexdigest().encode()
