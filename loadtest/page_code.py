"""What the page's own code takes of a worker, timed by itself: its ticks, and what is noted of keys."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator

from loadtest.request_frames import DOMAIN
from ratelimit.admin.event_stream import LOOP_PART, TICK_S
from ratelimit.admin.limit_rows import LimitRows
from ratelimit.admin.live_numbers import LiveNumbers
from ratelimit.admin.loads import Loads
from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.limiter.algorithm import FIXED_WINDOW, Counted
from ratelimit.limiter.counter_key import exact_counter
from ratelimit.limiter.key_watch import KeyWatch
from ratelimit.limiter.plan import Charge
from ratelimit.limiter.tick import SharedHit, Tick
from ratelimit.metrics import LimitStats, Metrics

TICK_CALLS = 128
AT_ONCE = 200
HOUR = Limit(10**9, Unit.HOUR)


def tick_lines(text: str, names: list[str], rounds: int = 20) -> Iterator[str]:
    """What a tick takes when one, a tenth or all of the series `names` have changed, under the configuration `text`."""
    metrics = Metrics()
    rows = LimitRows(load_config([ConfigFile("f", text.encode())]), 1)
    for _ in rows.build():
        pass
    series = [metrics.limit(name) for name in names]
    numbers = LiveNumbers(metrics, Loads())
    numbers.begin(rows)
    for changed in (1, len(series) // 10, len(series)):
        took, size = [], 0
        for _ in range(rounds):
            for stats in series[:changed]:
                stats.total_hits += 1
            began = time.thread_time()
            size = sum(map(len, numbers.changes())) + len(numbers.state(1.0, {}))
            took.append(time.thread_time() - began)
        tick_s = statistics.median(took)
        every_s = max(TICK_S, tick_s / LOOP_PART)
        yield (
            f"{changed:,} of {len(series):,} limits changed: {tick_s * 1e3:.1f} ms and {size:,} bytes "
            f"every {every_s:.1f} s, {tick_s / every_s:.2%}"
        )


def key_lines(rate: int, ticks: int = 8_000) -> Iterator[str]:
    """What noting keys takes at so many calls a second, in ticks of TICK_CALLS, for one key and for ever new ones."""
    for name, hits in (("one key", 1), ("keys ever new", TICK_CALLS)):
        watch, make = KeyWatch(0.0), _ticks(hits)
        took = []
        for first in range(0, ticks, AT_ONCE):
            some = [make(number * TICK_CALLS / rate) for number in range(first, first + AT_ONCE)]
            began = time.thread_time()
            for tick in some:
                watch.decided(tick)
            took.append((time.thread_time() - began) / AT_ONCE)
        share = statistics.median(took[len(took) // 2 :]) * rate / TICK_CALLS  # the first half finds the step
        yield f"keys noted at {rate:,} calls a second, {name}, one hit in {watch.step}: {share:.2%}"


def _ticks(hits: int) -> Callable[[float], Tick]:
    """Makes counted ticks of so many hits, at a moment; where they are several no key comes twice."""
    numbers = itertools.count()

    def make(at: float) -> Tick:
        tick = Tick(int(at), at)
        for _ in range(hits):
            value = str(next(numbers) if hits > 1 else 0)
            charge = Charge(HOUR, exact_counter("", DOMAIN, [("tier", value)], HOUR, FIXED_WINDOW), 1, 1, LimitStats())
            charge.turn(tick.now, 0)
            hit = SharedHit(charge)
            hit.result = Counted(1, allowed=True, remaining=1, reset_s=1)
            tick.hits.append(hit)
        return tick

    return make
