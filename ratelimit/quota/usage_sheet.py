"""What one Envoy counted, until the ledgers of its buckets ask.

An Envoy that obeys what it was told is answered by that again, whatever it counted: what its report says of its demand
is asked for by the next plan, and by nobody before. So such a report is only noted, in columns that belong to the
Envoy: each of its buckets is another ledger's, whose rows are in no cache. A ledger asks for all its rows at once, when
it plans.
"""

from array import array
from collections.abc import Sequence
from operator import add

from ratelimit.quota.options import GAP_S

# What a report can tell; beyond, somebody errs.
COUNT_MAX = 10**12
ELAPSED_S_MAX = 3600
NOTED_MAX = 2**32 - 1
# The numbers of places, one object for those of all sheets.
_PLACES: list[int] = []

# A place that is closed takes no note: its ledger has something to say first. One that is noted holds one already.
CLOSED, OPEN, NOTED = 0, 1, 2


class UsageSheet:
    """A place for each bucket: what was allowed and denied in so many seconds, as of the last report, and its moment.

    `states` are opened and closed by ledgers.
    """

    __slots__ = ("_free", "allowed", "at_s", "denied", "elapsed_s", "states")

    def __init__(self) -> None:
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
        if self.states[place] != OPEN or not is_plain(allowed, denied, elapsed_s, now_s - self.at_s[place]):
            return False
        if allowed > NOTED_MAX or denied > NOTED_MAX:
            return False
        self.allowed[place], self.denied[place] = allowed, denied
        self.elapsed_s[place], self.at_s[place] = elapsed_s, now_s
        self.states[place] = NOTED
        return True

    def take_all(self, first: int, counts: tuple[Sequence[int], Sequence[int]], elapsed_s: float, now_s: float) -> int:
        """`take` for the places from this one on, for what they allowed and denied; how many, up to one that is not."""
        allowed, denied = counts
        end = first + len(allowed)
        if end == first or self.states[first] != OPEN:
            return 0
        if max(allowed) > NOTED_MAX or max(denied) > NOTED_MAX:
            end = first + next(at for at, each in enumerate(zip(allowed, denied, strict=True)) if max(each) > NOTED_MAX)
        for state in CLOSED, NOTED:
            found = self.states.find(state, first, end)
            end = end if found < 0 else found
        requests = list(map(add, allowed, denied))[: end - first]
        if 0 in requests:
            end = first + requests.index(0)
        many = end - first
        if not many or not 1 <= elapsed_s <= ELAPSED_S_MAX:
            return 0
        moments = self.at_s[first:end]
        if not 0 <= now_s - max(moments) <= now_s - min(moments) < GAP_S:
            return 0
        self.states[first:end] = bytes((NOTED,)) * many
        self.allowed[first:end], self.denied[first:end] = array("I", allowed[:many]), array("I", denied[:many])
        self.elapsed_s[first:end], self.at_s[first:end] = array("f", (elapsed_s,)) * many, array("d", (now_s,)) * many
        return many


def is_plain(allowed: int, denied: int, elapsed_s: float, since_s: float) -> bool:
    """Whether a report, `since_s` after what was known before, says no more than how much was asked for."""
    return (
        (0 < allowed <= COUNT_MAX or allowed == 0 < denied)
        and 0 <= denied <= COUNT_MAX
        and 1 <= elapsed_s <= ELAPSED_S_MAX
        and 0 <= since_s < GAP_S
    )
