"""Counter keys: which requests share a counter.

A key is `prefix`, the counter (domain, entries, unit and algorithm) and, joined when a batch is counted, the start of
the window in unix seconds. In the exact format every text is written with its length in front, so two different
counters never share a key: `5:hello`. A text longer than TEXT_BYTES_MAX is replaced by its SHA-256, `#<hex>`, which
keeps keys short; `#` in place of a length makes that injective too.

The whole exact counter is a Redis Cluster hash tag, `{...}`: all windows of a counter live on one node. Braces inside
texts would end the tag early, which moves a key to another node and never merges two keys.

The reference format is envoyproxy/ratelimit's, byte for byte, for a Redis shared during a migration: it joins with
`_` and so lets some different descriptors share a counter.
"""

import hashlib
from collections.abc import Iterable

from ratelimit.descriptors.limit import Unit

TEXT_BYTES_MAX = 128


def exact_counter(prefix: str, domain: str, entries: Iterable[tuple[str, str]], unit: Unit) -> bytes:
    """The counter in the exact format; the window start follows it. `f` stands for the fixed window."""
    texts = [domain, *(text for entry in entries for text in entry)]
    return f"{prefix}{{rl:f{unit.wire}:".encode() + b"".join(_framed(text) for text in texts) + b"}:"


def reference_counter(prefix: str, domain: str, entries: Iterable[tuple[str, str]], _unit: Unit) -> bytes:
    """The counter as envoyproxy/ratelimit writes it; the window start follows it."""
    return "".join([prefix, domain, "_", *(f"{key}_{value}_" for key, value in entries)]).encode()


def _framed(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > TEXT_BYTES_MAX:
        return b"#" + hashlib.sha256(raw).hexdigest().encode() + b","
    return b"%d:%b," % (len(raw), raw)
