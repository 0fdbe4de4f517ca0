"""Ledgers in this process: the model that every other `LedgerStore` is compared with."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ratelimit.clock import Clock
from ratelimit.quota.ledger_store import KEPT_S, NOTHING, Commit, CommitResult, Committed, Outdated


@dataclass(slots=True)
class _Bucket:
    """A row stands beside the version that wrote it."""

    version: int
    deleted: int
    expires_s: float = 0.0
    head: bytes = b""
    rows: dict[str, tuple[int, bytes]] = field(default_factory=dict)


class MemoryLedgers:
    """A `LedgerStore` in a dictionary."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[bytes, _Bucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def commit(self, commit: Commit, done: Callable[[CommitResult], None]) -> None:
        now_s = self._clock.now()
        for name in [name for name, each in self._buckets.items() if each.expires_s <= now_s]:
            del self._buckets[name]
        bucket = self._buckets.get(commit.bucket)
        version = NOTHING if bucket is None else bucket.version
        if version != commit.version:
            done(_outdated(bucket, commit.version, now_s))
            return
        if commit.rows or commit.head is not None:
            if bucket is None:
                # No other life of the bucket had this number.
                version = int(now_s * 1e6)
                bucket = self._buckets[commit.bucket] = _Bucket(version - 1, version)
            _apply(bucket, commit)
            version, bucket.expires_s = bucket.version, now_s + KEPT_S
        done(Committed(version, now_s))


def _apply(bucket: _Bucket, commit: Commit) -> None:
    bucket.version += 1
    for envoy, row in commit.rows.items():
        if row is None:
            bucket.rows.pop(envoy, None)
            bucket.deleted = bucket.version
        else:
            bucket.rows[envoy] = (bucket.version, row)
    if commit.head is not None:
        bucket.head = commit.head


def _outdated(bucket: _Bucket | None, known: int, now_s: float) -> Outdated:
    if bucket is None:
        return Outdated(NOTHING, now_s, {}, b"", whole=True)
    whole = known < bucket.deleted or known > bucket.version
    rows = {envoy: row for envoy, (version, row) in bucket.rows.items() if whole or version > known}
    return Outdated(bucket.version, now_s, rows, bucket.head, whole)
