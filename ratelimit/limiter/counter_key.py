"""Counter keys: which requests share a counter.

A *counter* is the domain, entries, unit and algorithm; a `CounterKey` is that counter in one window. Its name in the
store is `prefix`, the counter and the start of the window in unix seconds. In the exact format every text is written
with its length in front, so two different counters never share a key: `5:hello`. A text longer than TEXT_BYTES_MAX is
replaced by its SHA-256, `#<hex>`, which keeps keys short; `#` in place of a length makes that injective too.

The whole exact counter is a Redis Cluster hash tag, `{...}`: all windows of a counter live on one node. Braces inside
texts would end the tag early, which moves a key to another node and never merges two keys.

The reference format is envoyproxy/ratelimit's, byte for byte, for a Redis shared during a migration: it joins with
`_` and so lets some different descriptors share a counter.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from ratelimit.descriptors.limit import Unit
from ratelimit.limiter.algorithm import Algorithm

TEXT_BYTES_MAX = 128


@dataclass(slots=True, eq=False)
class CounterKey:
    """One counter in one window.

    `name` is its key in the store. `window_start` is in unix seconds; the window lasts `unit.seconds`. `expire_s` is
    how long the counter is kept, in seconds from its first hit: the window and some jitter, at least 1. A store that
    keeps short windows elsewhere (REDIS_PERSECOND) routes by `unit`.
    """

    name: bytes
    algorithm: Algorithm
    unit: Unit
    window_start: int
    expire_s: int

    def reset_s(self, now: int) -> int:
        """How long the window goes on after the second `now`; the whole window for a clock that stepped back."""
        return min(self.unit.seconds, self.window_start + self.unit.seconds - now)


def exact_counter(
    prefix: str, domain: str, entries: Iterable[tuple[str, str]], unit: Unit, algorithm: Algorithm
) -> bytes:
    """The counter in the exact format; the window start follows it."""
    texts = [domain, *(text for entry in entries for text in entry)]
    return f"{prefix}{{rl:{algorithm.tag}{unit.wire}:".encode() + b"".join([_framed(text) for text in texts]) + b"}:"


def reference_counter(
    prefix: str, domain: str, entries: Iterable[tuple[str, str]], _unit: Unit, _algorithm: Algorithm
) -> bytes:
    """The counter as envoyproxy/ratelimit writes it; the window start follows it."""
    return "".join([prefix, domain, "_", *(f"{key}_{value}_" for key, value in entries)]).encode()


def _framed(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > TEXT_BYTES_MAX:
        return b"#" + hashlib.sha256(raw).hexdigest().encode() + b","
    return b"%d:%b," % (len(raw), raw)
