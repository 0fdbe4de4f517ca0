"""A batch of hits as script calls, and their replies as results.

A batch becomes one command, or several where it is large: a script stops the server while it runs, so each carries a
bounded number of hits, and other clients get their turn between. A group of hits is never split.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import groupby
from operator import attrgetter
from typing import Any

import hiredis

from ratelimit.errors import StoreError
from ratelimit.limiter import algorithm
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_store import COUNT_MAX, UNGROUPED, Hit, Results

HITS_PER_COMMAND_MAX = 256
# What the server answers before a script has run.
NOT_RUN = (
    "LOADING",
    "READONLY",
    "NOAUTH",
    "NOPERM",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CROSSSLOT",
    "BUSY",
    "MISCONF",
    "NOSCRIPT",
    "OOM",
    "WRONGTYPE",
)


@dataclass(frozen=True, slots=True)
class Script:
    """A script of stores/lua/: its text, its SHA-1 by which it is called, and the numbers that follow the keys."""

    text: bytes
    sha: bytes
    numbers: Callable[[Sequence[Hit]], list[bytes]]

    @classmethod
    def load(cls, name: str, numbers: Callable[[Sequence[Hit]], list[bytes]]) -> "Script":
        """Read a script of this package."""
        return cls(*read_script(name), numbers)

    def arguments(self, hits: Sequence[Hit]) -> list[bytes]:
        """What follows the script's name: the number of keys, the keys, the numbers of each hit."""
        keys = [hit.key.name for hit in hits]
        return [b"%d" % len(keys), *keys, *self.numbers(hits)]


def read_script(name: str) -> tuple[bytes, bytes]:
    """The text of a script of this package, and its SHA-1, by which Redis calls it."""
    text = resources.files("ratelimit.stores").joinpath(f"lua/{name}.lua").read_bytes()
    return text, hashlib.sha1(text).hexdigest().encode()  # noqa: S324 - Redis names scripts so


def is_unknown(reply: Any) -> bool:
    """Whether the server does not know the script that was called by its name, and so has not run it."""
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT")


def _for_hits(hits: Sequence[Hit]) -> list[bytes]:
    return [part for hit in hits for part in (b"%d" % hit.amount, b"%d" % hit.key.expire_s)]


def _for_groups(hits: Sequence[Hit]) -> list[bytes]:
    return [b"%d" % part for hit in hits for part in (hit.amount, hit.key.expire_s, hit.limit, hit.group, hit.stops)]


def _for_moments(hits: Sequence[Hit]) -> list[bytes]:
    return [b"%d" % part for hit in hits for part in (hit.amount, hit.limit, hit.key.window_s * 1000, hit.at_ms)]


ADD_HITS = Script.load("add_hits", _for_hits)
CHARGE_GROUPS = Script.load("charge_groups", _for_groups)
SCRIPT_OF = {
    algorithm.FIXED_WINDOW: ADD_HITS,
    algorithm.SLIDING_WINDOW: Script.load("sliding_window", _for_moments),
    algorithm.GCRA: Script.load("gcra", _for_moments),
}
SCRIPTS = (*SCRIPT_OF.values(), CHARGE_GROUPS)
_PLAIN = {(UNGROUPED, algorithm.FIXED_WINDOW)}
_kind = attrgetter("group", "key.algorithm")


_ADD_HITS = b"$7\r\nEVALSHA\r\n$40\r\n%b\r\n" % ADD_HITS.sha
_ONE_HIT = b"*6\r\n%b$1\r\n1\r\n" % _ADD_HITS


class BatchResults:
    """Collects the results of a batch of several commands; `done` gets them whole when the last one is there."""

    def __init__(self, commands: int, done: Callable[[Results], None]) -> None:
        self._parts: list[Results | None] = [None] * commands
        self._missing = commands
        self._done = done

    def put(self, place: int, results: Results) -> None:
        """Take the results of one command in."""
        self._parts[place] = results
        self._missing -= 1
        if self._missing == 0:
            self._done([result for part in self._parts if part is not None for result in part])


def are_plain(hits: Sequence[Hit]) -> bool:
    """Whether all are hits of fixed windows, each by itself: then one script counts them."""
    return set(map(_kind, hits)) == _PLAIN


def commands_of(hits: Sequence[Hit]) -> list[tuple[Script, Sequence[Hit]]]:
    """The script calls for hits, in order, each with at most HITS_PER_COMMAND_MAX hits (a larger group stays whole)."""
    if len(hits) <= HITS_PER_COMMAND_MAX and are_plain(hits):
        return [(ADD_HITS, hits)]
    commands: list[tuple[Script, list[Hit]]] = []
    for (group, counting), members in groupby(hits, key=_kind):
        script = SCRIPT_OF[counting] if group == UNGROUPED else CHARGE_GROUPS
        for piece in _pieces(list(members), whole=group != UNGROUPED):
            if (
                not commands
                or commands[-1][0] is not script
                or len(commands[-1][1]) + len(piece) > HITS_PER_COMMAND_MAX
            ):
                commands.append((script, []))
            commands[-1][1].extend(piece)
    return list(commands)


def packed(script: Script, hits: Sequence[Hit]) -> bytes:
    """A script call as it is written. Those of a Cluster are many and small, so the common ones are made by hand."""
    if script is not ADD_HITS:
        command: tuple[Any, ...] = (b"EVALSHA", script.sha, *script.arguments(hits))
        return hiredis.pack_command(command)
    if len(hits) == 1:
        key = hits[0].key
        name = key.name
        return b"%b$%d\r\n%b\r\n%b%b" % (_ONE_HIT, len(name), name, _number(hits[0].amount), _number(key.expire_s))
    names = [hit.key.name for hit in hits]
    parts = [b"*%d\r\n" % (3 * len(hits) + 3), _ADD_HITS, _number(len(hits))]
    parts += [b"$%d\r\n%b\r\n" % (len(name), name) for name in names]
    parts += [_number(number) for hit in hits for number in (hit.amount, hit.key.expire_s)]
    return b"".join(parts)


@lru_cache(maxsize=4096)
def _number(number: int) -> bytes:
    text = b"%d" % number
    return b"$%d\r\n%b\r\n" % (len(text), text)


def results_of(reply: Any, hits: Sequence[Hit], now: int) -> list[Counted | StoreError]:
    """One result per hit: of a command that ran, of one that was refused whole, or that got no reply."""
    if isinstance(reply, StoreError):
        return [reply] * len(hits)
    if isinstance(reply, list) and len(reply) == len(hits):
        return [result_of(each, hit, now) for each, hit in zip(reply, hits, strict=True)]
    return [refusal(reply) if isinstance(reply, hiredis.ReplyError) else odd()] * len(hits)


def refusal(error: Exception) -> StoreError:
    """What a caller is told: the server's own word for it, and nothing that could hold an address or a key."""
    code = str(error).partition(" ")[0]
    return StoreError(f"the store refused: {code}", outcome_unknown=code not in NOT_RUN)


def result_of(reply: Any, hit: Hit, now: int) -> Counted | StoreError:
    """The result of one hit from its part of the reply."""
    key = hit.key
    if reply.__class__ is int:
        count = reply if reply < COUNT_MAX else COUNT_MAX  # noqa: FURB136 - `min` costs more than all else here
        return key.algorithm.judge(count, hit.limit, key.reset_s(now))
    if isinstance(reply, hiredis.ReplyError):
        # An error inside a script's reply is of a command that did nothing.
        return StoreError(refusal(reply).reason)
    match reply:
        case [int(count), int(within)]:
            return Counted(count, within == 1, max(0, hit.limit - count), key.reset_s(now))
        case [int(count), int(within), int(reset_ms)]:
            return Counted(count, within == 1, max(0, hit.limit - count), -(-reset_ms // 1000))
    return odd()


def odd() -> StoreError:
    """The error of a reply that no script of ours gives."""
    return StoreError("the store sent an odd reply", outcome_unknown=True)


def _pieces(hits: Sequence[Hit], *, whole: bool) -> list[Sequence[Hit]]:
    if whole:
        return [hits]
    return [hits[at : at + HITS_PER_COMMAND_MAX] for at in range(0, len(hits), HITS_PER_COMMAND_MAX)]
