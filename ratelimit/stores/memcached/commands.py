"""Hits as memcached's meta commands, and its replies as counts (memcached's doc/protocol.txt, "Meta commands").

`ma` with N creates a counter with its expiry, or adds to it, in one command; with MD it takes back, and stops at 0.

A key of memcached has 1 to 250 visible characters, and ours are any bytes: a name that is none, or that begins with
HASHED, stands there as HASHED and its SHA-256. So two names never share a key.
"""

import hashlib
import re
from collections.abc import Iterator

from ratelimit.errors import StoreError
from ratelimit.limiter.counter_store import COUNT_MAX
from ratelimit.stores.groups import Answer

HASHED = b"rl#sha256:"
# Longer than this, memcached takes a number for a moment in unix seconds.
RELATIVE_S_MAX = 30 * 24 * 3600
# Its clock ticks once a second, so a counter would go up to one second early: within its window.
TICK_S = 1
# A value that somebody else put under our key may be as long as memcached lets it be by default, 1 MiB.
REPLY_BYTES_MAX = 2 * 1024 * 1024

_PLAIN = re.compile(b"(?!" + HASHED + b")[!-~]{1,250}")


class OddReplyError(ValueError):
    """What came is no reply of memcached."""


def key_of(name: bytes) -> bytes:
    """The key of a counter's name."""
    if _PLAIN.fullmatch(name):
        return name
    return HASHED + hashlib.sha256(name).hexdigest().encode()


def expiry(expire_s: int, now: int) -> int:
    """When a counter goes, as memcached wants it: in seconds from now, or as a moment where that is long."""
    lasts = expire_s + TICK_S
    return lasts if lasts <= RELATIVE_S_MAX else now + lasts


def command_of(key: bytes, amount: int, expire_s: int, now: int) -> bytes:
    """The command that counts a hit of `amount`, which goes `expire_s` after it created its counter."""
    if amount > 0:
        return add(key, amount, expiry(expire_s, now))
    return take_back(key, -amount) if amount else look(key)


def add(key: bytes, amount: int, expires: int) -> bytes:
    """Add to a counter; where there is none, create it."""
    amount = min(amount, COUNT_MAX)
    return b"ma %b N%d J%d D%d v\r\n" % (key, expires, amount, amount)


def look(key: bytes) -> bytes:
    """Read a counter."""
    return b"mg %b v\r\n" % key


def take_back(key: bytes, amount: int) -> bytes:
    """Take from a counter, never below 0; where there is none, nothing."""
    return b"ma %b MD D%d v\r\n" % (key, min(amount, COUNT_MAX))


class Replies:
    """Cuts what a server sends into answers, however the bytes come."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[Answer]:
        """The answers that are whole now. Raises OddReplyError."""
        self._buffer += data
        at = 0
        try:
            while (end := self._buffer.find(b"\r\n", at)) >= 0:
                line = self._buffer[at:end]
                after = end + 2
                if line.startswith(b"VA "):
                    size = _number(line.split(b" ")[1])
                    value, after = self._buffer[after : after + size], after + size + 2
                    if len(self._buffer) < after:
                        break
                    at = after
                    yield _count(value)
                else:
                    at = after
                    yield _answer(line)
        finally:
            self._buffer = self._buffer[at:]
        if len(self._buffer) > REPLY_BYTES_MAX:
            raise OddReplyError(f"a reply of more than {REPLY_BYTES_MAX} bytes")


def _number(text: bytes) -> int:
    if not text.isdigit() or int(text) > REPLY_BYTES_MAX:
        raise OddReplyError(f"a value of {text[:20]!r} bytes")
    return int(text)


def _count(value: bytes) -> Answer:
    # A number that became shorter is followed by spaces.
    digits = value.rstrip(b" ")
    return int(digits) if digits.isdigit() else StoreError("the store refused: not a number")


def _answer(line: bytes) -> Answer:
    word = line.partition(b" ")[0]
    if word in (b"EN", b"NF"):
        return None
    if word in (b"CLIENT_ERROR", b"SERVER_ERROR", b"ERROR", b"NS"):
        # Each is said before anything was stored. What follows may hold a key, so a caller hears the word only.
        return StoreError(f"the store refused: {word.decode()}")
    raise OddReplyError(f"the server does not speak memcached's meta protocol: {line[:40]!r}")
