"""The slots of a Redis Cluster: which slot a key has, and what nodes say of who owns one. Pure.

A key's slot is the CRC-16 of its hash tag, what stands between the first `{` and the first `}` after it, or of the
whole key where there is no tag or an empty one. Keys may hold braces that came from a request, so a slot is always
worked out from the key as it is in the store.
"""

from binascii import crc_hqx
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

SLOTS = 16384
PORT_MAX = 65_535

Address = tuple[str, int]
"""Host and port."""


def slot_of(name: bytes) -> int:
    """The slot of a key."""
    start = name.find(b"{")
    if start >= 0:
        end = name.find(b"}", start + 1)
        if end > start + 1:
            name = name[start + 1 : end]
    return crc_hqx(name, 0) & 16383


@dataclass(frozen=True, slots=True)
class SlotRange:
    """The slots from `first` to `last`, both included, and their master."""

    first: int
    last: int
    master: Address


def slot_ranges(answer: Any, asked: str) -> list[SlotRange]:
    """What CLUSTER SLOTS said; `asked` is the host that was asked, which an empty host stands for.

    Raises OSError with a reason for people.
    """
    if not isinstance(answer, Sequence) or isinstance(answer, bytes | str):
        raise OSError("sent an odd reply to CLUSTER SLOTS")
    ranges = [_range(each, asked) for each in answer]
    if not ranges:
        raise OSError("knows no node that has slots")
    return ranges


def _range(entry: Any, asked: str) -> SlotRange:
    match entry:
        case [int(first), int(last), [host, int(port), *_], *_] if 0 <= first <= last < SLOTS and 0 < port <= PORT_MAX:
            if host == b"?":
                raise OSError("does not know the name of a node (cluster-announce-hostname)")
            if host is None or isinstance(host, bytes):
                return SlotRange(first, last, ((host or b"").decode(errors="replace") or asked, port))
    raise OSError("sent an odd reply to CLUSTER SLOTS")


@dataclass(frozen=True, slots=True)
class Redirect:
    """`MOVED` and `ASK`: the slot is on `address`; with `asking` for this one command only."""

    slot: int
    address: Address
    asking: bool


def redirect_of(error: str, asked: str) -> Redirect | None:
    """`MOVED 3999 10.0.0.1:6381` or `ASK …` as what it tells, None for any other error; `asked` as above."""
    kind, _, rest = error.partition(" ")
    if kind not in {"MOVED", "ASK"}:
        return None
    slot, _, place = rest.partition(" ")
    host, colon, port = place.rpartition(":")
    sound = colon and host != "?" and slot.isdecimal() and port.isdecimal()
    if not sound or int(slot) >= SLOTS or not 0 < int(port) <= PORT_MAX:
        return None
    return Redirect(int(slot), (host.strip("[]") or asked, int(port)), kind == "ASK")


def probe_name(prefix: str, owned: Collection[int]) -> bytes:
    """A key for probes whose slot is one of `owned`; any where there is none, as with a hash tag in the prefix."""
    first = f"{prefix}{{rl:ready0}}".encode()
    if not owned or slot_of(first) == slot_of(f"{prefix}{{rl:ready1}}".encode()):
        return first
    names = (f"{prefix}{{rl:ready{number}}}".encode() for number in range(4 * SLOTS))
    return next((name for name in names if slot_of(name) in owned), first)
