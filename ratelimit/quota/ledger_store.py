"""The port to where replicas share a ledger.

The quota floor owns this file; the stores floor implements it for Redis and Valkey. One contract suite runs on them and
on a model in memory (tests/stores/memory_ledgers.py), on which the simulation runs too.

A bucket's ledger is a head and one row for each Envoy, all of them bytes that only the quota floor reads, under one
version that grows with each change. A commit names the version it was made from: it is applied whole, or not at all.
A bucket that nobody committed to for `KEPT_S` is gone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from ratelimit.errors import StoreError

KEPT_S = 60
# The version of a bucket that the store does not have.
NOTHING = 0
# How long an answer may take.
ANSWER_S = 0.15


@dataclass(slots=True)
class Commit:
    """`rows` are those that changed since `version`, by Envoy: None deletes one. None in `head` leaves it as it is.

    Without rows and head it asks what is new. `deadline_s` is how long the answer may take.
    """

    bucket: bytes
    version: int
    rows: Mapping[str, bytes | None] = field(default_factory=dict)
    head: bytes | None = None
    deadline_s: float = ANSWER_S


@dataclass(slots=True)
class Committed:
    """The commit was applied, or nothing is new; `now_s` is the store's clock, in unix seconds."""

    version: int
    now_s: float


@dataclass(slots=True)
class Outdated:
    """Somebody else was first, and nothing was applied: what changed since the version that the commit named.

    `whole`: `rows` are all rows there are, and what is not among them is gone.
    """

    version: int
    now_s: float
    rows: Mapping[str, bytes]
    head: bytes
    whole: bool


CommitResult: TypeAlias = Committed | Outdated | StoreError


class LedgerStore(Protocol):
    """Ledgers that replicas share.

    `commit` never raises and never blocks: it calls `done` exactly once, before it returns or later.
    """

    def commit(self, commit: Commit, done: Callable[[CommitResult], None]) -> None: ...


@dataclass(frozen=True, slots=True)
class SharedPlace:
    """Where a bucket's ledger is shared: the store, the bucket's name in it, and the name of this replica.

    No other replica has that name, now or ever.
    """

    store: LedgerStore
    bucket: bytes
    replica: str
