"""Counter keys: which requests share a counter.

A *counter* is the domain, entries, unit and its multiplier, and algorithm; a `CounterKey` is that counter in one
window. Its name in the store is `prefix`, the counter and the start of the window in unix seconds. In the exact format
every text is written with its length in front, so two different counters never share a key: `5:hello`. A text longer
than TEXT_BYTES_MAX is replaced by its SHA-256, `#<hex>`, which keeps keys short; `#` in place of a length makes that
injective too.

The whole exact counter is a Redis Cluster hash tag, `{...}`: all windows of a counter live on one node. Braces inside
texts would end the tag early, which moves a key to another node and never merges two keys. Counters that are charged
together must be on one node: there the tag is the domain alone.

Where the store is a Cluster, the tag names one of BUCKETS buckets, by the CRC-32 of the counter, so that the counters
of a tick share scripts: what a script costs is many times what a hit in it does. The buckets' slots lie evenly.

The reference format is envoyproxy/ratelimit's, byte for byte, for a Redis shared during a migration: it joins with
`_` and so lets some different descriptors share a counter.
"""

import hashlib
from binascii import crc32, crc_hqx
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.limiter.algorithm import Algorithm

TEXT_BYTES_MAX = 128
SHORT_BYTES_MAX = TEXT_BYTES_MAX - 1
# A Cluster of more masters has some without counters; more buckets than this cost more scripts a tick.
BUCKETS = 64
# Of a Redis Cluster.
SLOTS = 16384


@dataclass(slots=True, eq=False)
class CounterKey:
    """One counter in one window.

    `name` is its key in the store. `window_start` is in unix seconds; the window lasts `window_s`. `expire_s` is how
    long the counter is kept, in seconds from its first hit: the window and some jitter, at least 1. A store that keeps
    short windows elsewhere (REDIS_PERSECOND) routes by `unit`.
    """

    name: bytes
    algorithm: Algorithm
    unit: Unit
    window_start: int
    window_s: int
    expire_s: int

    def reset_s(self, now: int) -> int:
        """How long the window goes on after the second `now`; the whole window for a clock that stepped back."""
        seconds = self.window_s
        return self.window_start + seconds - now if self.window_start < now else seconds


@dataclass(frozen=True, slots=True)
class CounterFormat:
    """How the parts of a counter are written; called, it writes the whole, after which the window start follows.

    `head(prefix, domain, limit, algorithm)` stands first, then each key and each value as `text` writes them, then
    `end`. For a text of at most SHORT_BYTES_MAX bytes, `text` is `sizes[its bytes]`, the bytes, and `after`. Where
    there is `tagged(prefix, counter)`, it makes the whole of all that, and `head` leaves the prefix to it.
    """

    head: Callable[[str, str, Limit, Algorithm], bytes]
    text: Callable[[str], bytes]
    sizes: Sequence[bytes]
    after: bytes
    end: bytes
    tagged: Callable[[str, bytes], bytes] | None = None

    def __call__(
        self, prefix: str, domain: str, entries: Iterable[tuple[str, str]], limit: Limit, algorithm: Algorithm
    ) -> bytes:
        text = self.text
        texts = [text(each) for entry in entries for each in entry]
        counter = b"".join([self.head(prefix, domain, limit, algorithm), *texts, self.end])
        return counter if self.tagged is None else self.tagged(prefix, counter)


def _exact_head(prefix: str, domain: str, limit: Limit, algorithm: Algorithm) -> bytes:
    return f"{prefix}{{rl:{_kind(limit, algorithm)}:".encode() + _framed(domain)


def _one_slot_head(prefix: str, domain: str, limit: Limit, algorithm: Algorithm) -> bytes:
    kind = _kind(limit, algorithm)
    return f"{prefix}{{rl:".encode() + _framed(domain) + f"}}:{kind}:".encode()


def _bucket_head(_prefix: str, domain: str, limit: Limit, algorithm: Algorithm) -> bytes:
    return f"{_kind(limit, algorithm)}:".encode() + _framed(domain)


def _in_bucket(prefix: str, counter: bytes) -> bytes:
    return prefix.encode() + _BUCKET_TAGS[crc32(counter) % BUCKETS] + counter


def _bucket_tags() -> list[bytes]:
    """A tag for each bucket: the first number whose slot lies in the bucket's share of all slots."""
    tags: dict[int, bytes] = {}
    number = 0
    while len(tags) < BUCKETS:
        tag = b"rl:%d" % number
        tags.setdefault((crc_hqx(tag, 0) % SLOTS) * BUCKETS // SLOTS, b"{%b}" % tag)
        number += 1
    return [tags[bucket] for bucket in range(BUCKETS)]


def _kind(limit: Limit, algorithm: Algorithm) -> str:
    """The algorithm and the window: what makes another counter of the same entries."""
    times = f"x{limit.unit_multiplier}" if limit.unit_multiplier > 1 else ""
    calendar = "c" if limit.calendar else ""
    return f"{algorithm.tag}{limit.unit.wire}{calendar}{times}"


def _reference_head(prefix: str, domain: str, _limit: Limit, _algorithm: Algorithm) -> bytes:
    return f"{prefix}{domain}_".encode()


def _framed(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > TEXT_BYTES_MAX:
        return b"#" + hashlib.sha256(raw).hexdigest().encode() + b","
    return b"%d:%b," % (len(raw), raw)


_BUCKET_TAGS = _bucket_tags()
exact_counter = CounterFormat(
    _exact_head, _framed, [b"%d:" % size for size in range(SHORT_BYTES_MAX + 1)], after=b",", end=b"}:"
)
one_slot_counter = CounterFormat(_one_slot_head, _framed, exact_counter.sizes, after=b",", end=b":")
bucket_counter = CounterFormat(_bucket_head, _framed, exact_counter.sizes, after=b",", end=b":", tagged=_in_bucket)
reference_counter = CounterFormat(
    _reference_head, lambda text: f"{text}_".encode(), [b""] * (SHORT_BYTES_MAX + 1), after=b"_", end=b""
)
