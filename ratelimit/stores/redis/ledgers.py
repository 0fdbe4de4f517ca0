"""Ledgers that replicas share in Redis or Valkey: one hash for each bucket, so one key and one slot, and one script.

They go over the connections that count, between the batches. A commit that got no answer may have been applied; it is
never sent again as it is: the next one tells, since it would be outdated.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import hiredis

from ratelimit.errors import StoreError
from ratelimit.quota.ledger_store import KEPT_S, NOTHING, Commit, CommitResult, Committed, Outdated
from ratelimit.stores.redis.commands import is_unknown, odd, read_script, refusal
from ratelimit.stores.redis.pipeline import RedisPipeline
from ratelimit.stores.redis.topology import Topology

# The number grows when rows or heads look or mean something else: replicas of two releases then do not share a ledger.
KEY = "{prefix}rlqs2:"
_SCRIPT, _SHA = read_script("quota_ledger")
_KEPT_MS = b"%d" % (KEPT_S * 1000)


class RedisLedgers:
    """A `LedgerStore` on the nodes of a store; `prefix` stands before every key."""

    def __init__(self, topology: Topology, prefix: str = "") -> None:
        self._topology = topology
        self._key = KEY.format(prefix=prefix).encode()

    def commit(self, commit: Commit, done: Callable[[CommitResult], None]) -> None:
        key = self._key + commit.bucket
        node = self._topology.node_of(key)
        pipeline = None if node is None else node.pipeline
        if node is None or pipeline is None or not pipeline.writable:
            done(StoreError("no node of the Cluster has the slot") if node is None else node.refused())
            return
        arguments = [b"1", key, b"%d" % commit.version, commit.head or b"", _KEPT_MS]
        for envoy, row in commit.rows.items():
            arguments += (envoy.encode(), row or b"")
        deadline = asyncio.get_running_loop().time() + commit.deadline_s
        answered = partial(self._answered, pipeline, done)

        def first(reply: Any) -> None:
            if is_unknown(reply) and pipeline.writable:
                pipeline.send((b"EVAL", _SCRIPT, *arguments), deadline, answered)
            else:
                answered(reply)

        pipeline.send((b"EVALSHA", _SHA, *arguments), deadline, first)

    def _answered(self, pipeline: RedisPipeline, done: Callable[[CommitResult], None], reply: Any) -> None:
        if isinstance(reply, hiredis.ReplyError):
            code = str(reply).partition(" ")[0]
            if code == "READONLY":
                pipeline.finish("the server became a replica")
            elif code in {"MOVED", "ASK", "CLUSTERDOWN"}:
                self._topology.note_old()
            done(refusal(reply))
        elif isinstance(reply, StoreError):
            done(reply)
        else:
            done(_result_of(reply))


def _result_of(reply: Any) -> CommitResult:
    match reply:
        case [1, bytes(version), bytes(seconds), bytes(micros)]:
            return Committed(int(version), int(seconds) + int(micros) / 1e6)
        case [0, bytes(version), bytes(seconds), bytes(micros), bytes(head), int(whole), *pairs] if len(pairs) % 2 == 0:
            rows = {envoy.decode(errors="replace"): row for envoy, row in zip(pairs[::2], pairs[1::2], strict=True)}
            now_s = int(seconds) + int(micros) / 1e6
            return Outdated(int(version), now_s, rows, head, whole == 1 or int(version) == NOTHING)
    return odd()
