"""What one Envoy counted, until the ledgers of its buckets ask.

An Envoy that obeys what it was told is answered by that again, whatever it counted: what its report says of its demand
is asked for by the next plan, and by nobody before. So such a report is only noted, in columns that belong to the
Envoy: each of its buckets is another ledger's, whose rows are in no cache. A ledger asks for all its rows at once, when
it plans.
"""

from array import array
from collections.abc import Sequence
from operator import add

from ratelimit.quota.options import TUNING

# What a report can tell; beyond, somebody errs.
COUNT_MAX = 10**12
ELAPSED_S_MAX = 3600
NOTED_MAX = 2**32 - 1
# The numbers of places, one object for those of all sheets.
_PLACES: list[int] = []

# A place that is closed takes no note: its ledger has something to say first. One that is noted holds what was reported
# since its ledger asked: two reports that nobody asked about between are one of a longer time.
CLOSED, OPEN, NOTED = 0, 1, 2


class UsageSheet:
    """A place for each bucket: what was allowed and denied in so many seconds, as of the last report, and its moment.

    `states` are opened and closed by ledgers. Whose report comes more than `lease_s` after the one before is not
    answered by what it was told then: where others share a ledger, they may have given that away.
    """

    __slots__ = ("_free", "allowed", "at_s", "denied", "elapsed_s", "lease_s", "states")

    def __init__(self, lease_s: float = TUNING.ttl_s) -> None:
        self.lease_s = lease_s
        self.states = bytearray()
        # Small, as there are a hundred thousand of them: NOTED_MAX is what these hold.
        self.allowed, self.denied = array("I"), array("I")
        self.elapsed_s, self.at_s = array("f"), array("d")
        self._free: list[int] = []

    def sit(self, now_s: float) -> int:
        """A place for one bucket more, which is closed."""
        if self._free:
            place = self._free.pop()
            self.at_s[place] = now_s
            return place
        self.states.append(CLOSED)
        for counts in self.allowed, self.denied:
            counts.append(0)
        self.elapsed_s.append(0.0)
        self.at_s.append(now_s)
        place = len(self.states) - 1
        _PLACES.extend(range(len(_PLACES), place + 1))
        return _PLACES[place]

    def leave(self, place: int) -> None:
        """The bucket is gone: the place is another's."""
        self.states[place] = CLOSED
        self._free.append(place)

    def take(self, place: int, allowed: int, denied: int, elapsed_s: float, now_s: float) -> bool:
        """Note a report, to be answered by what was told before; False where its ledger is to hear of it at once."""
        state = self.states[place]
        since_s = now_s - self.at_s[place]
        if state == CLOSED or since_s >= self.lease_s or not is_plain(allowed, denied, elapsed_s, since_s):
            return False
        if state == NOTED:
            allowed += self.allowed[place]
            denied += self.denied[place]
            elapsed_s += self.elapsed_s[place]
        if allowed > NOTED_MAX or denied > NOTED_MAX:
            return False
        self.allowed[place], self.denied[place] = allowed, denied
        self.elapsed_s[place], self.at_s[place] = elapsed_s, now_s
        self.states[place] = NOTED
        return True

    def take_all(self, first: int, counts: tuple[Sequence[int], Sequence[int]], elapsed_s: float, now_s: float) -> int:
        """`take` for the places from this one on, for what they allowed and denied; how many were noted so.

        It ends where one is not, or is in another state than the first: the rest is for another call.
        """
        state, most = self.states[first : first + 1], len(counts[0])
        if not most or state[0] == CLOSED or not 1 <= elapsed_s <= ELAPSED_S_MAX:
            return 0
        end = first + most - len(self.states[first : first + most].lstrip(state))
        moments = self.at_s[first:end]
        if not 0 <= now_s - max(moments) <= now_s - min(moments) < self.lease_s:
            return 0
        allowed, denied = (each[: end - first] for each in counts)
        requests = list(map(add, allowed, denied))
        noted = state[0] == NOTED
        if noted:
            allowed = list(map(add, allowed, self.allowed[first:end]))
            denied = list(map(add, denied, self.denied[first:end]))
        many = end - first
        if 0 in requests:
            many = requests.index(0)
        if max(allowed) > NOTED_MAX or max(denied) > NOTED_MAX:
            beyond = (at for at, each in enumerate(zip(allowed, denied, strict=True)) if max(each) > NOTED_MAX)
            many = min(many, next(beyond))
        end = first + many
        seconds = [elapsed_s + before for before in self.elapsed_s[first:end]] if noted else (elapsed_s,) * many
        self.states[first:end] = bytes((NOTED,)) * many
        self.allowed[first:end], self.denied[first:end] = array("I", allowed[:many]), array("I", denied[:many])
        self.elapsed_s[first:end], self.at_s[first:end] = array("f", seconds), array("d", (now_s,)) * many
        return many


def is_plain(allowed: int, denied: int, elapsed_s: float, since_s: float) -> bool:
    """Whether a report, `since_s` after what was known before, says no more than how much was asked for."""
    return (
        (0 < allowed <= COUNT_MAX or allowed == 0 < denied)
        and 0 <= denied <= COUNT_MAX
        and 1 <= elapsed_s <= ELAPSED_S_MAX
        and since_s >= 0
    )
