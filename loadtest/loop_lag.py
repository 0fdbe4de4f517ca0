"""How late an event loop runs what is due: the time it is held by work that nothing else can interrupt."""

import asyncio
import math
import time
from array import array
from collections.abc import Sequence

INTERVAL_S = 0.001


async def probe(until: asyncio.Event, interval_s: float = INTERVAL_S) -> Sequence[float]:
    """Measure on the running loop until `until` is set: by how many seconds it was late, one for each interval.

    A timer of uvloop is precise to a millisecond, so an idle loop shows up to that. The clock is not the loop's own:
    uvloop reads that once per round, so it does not see the round that takes long.
    """
    lags = array("f")  # four bytes each: the memory of a long run is looked at too
    while not until.is_set():
        due = time.perf_counter() + interval_s
        await asyncio.sleep(interval_s)
        lags.append(max(0.0, time.perf_counter() - due))
    return lags


def percentile(lags: Sequence[float], part: float) -> float:
    """The lag that `part` (0 to 1) of all are not above; 0 for none."""
    ordered = sorted(lags)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)] if ordered else 0.0
