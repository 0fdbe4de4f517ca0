"""Demands and events that an allocator must live with, and how well it did."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ratelimit.quota.ledger import Ledger
from ratelimit.quota.max_min import max_min
from ratelimit.quota.options import LedgerOptions
from tests.quota.noting import Noting
from tests.quota.world import STEP_S, Floats, World

WINDOW_S = 10
WARM_S = 10
LENGTH_S = 120
Demand = Callable[[float], Floats]
Event = Callable[[World], None]


@dataclass
class Scenario:
    """`demand(n, limit)` makes the rates of n Envoys; `events(n)` what happens when."""

    demand: Callable[[int, float], Demand]
    events: Callable[[int, LedgerOptions], list[tuple[float, Event]]] = lambda _n, _o: []
    prepare: Event = lambda _: None
    length_s: float = LENGTH_S


@dataclass
class Outcome:
    """What came of it, as parts of one. `bound` is the most that bursts could bring in a window."""

    overshoot: float
    use: float
    jain: float
    in_force: float
    bound: float
    pushes_per_min: float = 0.0


def steady(count: int, limit: float) -> Demand:
    """Everybody wants half more than an even share."""
    rates = np.full(count, 1.5 * limit / count)
    return lambda _: rates


def zipf(count: int, limit: float) -> Demand:
    """The k-th wants 1/k of what the first does, all together half more than the limit."""
    shares = 1 / np.arange(1, count + 1)
    rates = 1.5 * limit * shares / shares.sum()
    return lambda _: rates


def flash(count: int, limit: float) -> Demand:
    """Half of the limit, ten times that from 40 s to 80 s."""
    rates = np.full(count, 0.5 * limit / count)
    return lambda now_s: rates * 10 if 40 <= now_s < 80 else rates


def shift(count: int, limit: float) -> Demand:
    """One wants more than the limit, the others little; every 30 s it is another one."""
    low = 0.27 * limit / max(1, count - 1)

    def demand(now_s: float) -> Floats:
        rates = np.full(count, low)
        rates[int(now_s / 30) % count] = 1.2 * limit
        return rates

    return demand


def drift(count: int, limit: float) -> Demand:
    """Slow sines, each with a phase of its own."""
    phases = 2 * np.pi * np.arange(count) / count
    return lambda now_s: 1.1 * limit / count * (1 + 0.8 * np.sin(2 * np.pi * now_s / 40 + phases))


def bursty(count: int, limit: float) -> Demand:
    """On and off, 8 s each, at random phases."""
    phases = np.random.default_rng(7).uniform(0, 16, count)
    return lambda now_s: np.where((now_s + phases) % 16 < 8, 2.2 * limit / count, 0.0)


def churn_events(count: int, _: LedgerOptions) -> list[tuple[float, Event]]:
    """Every 10 s a tenth drains, and as many start 3 s later."""
    many = max(1, count // 10)
    events: list[tuple[float, Event]] = []
    for turn, at_s in enumerate(range(15, LENGTH_S - 5, 10)):
        for place in ((turn * many + each) % count for each in range(many)):
            events += [(at_s, partial(World.leave, at=place)), (at_s + 3, partial(World.join, at=place))]
    return events


def _fifth(what: Callable[..., None]) -> Callable[[int, LedgerOptions], list[tuple[float, Event]]]:
    """To the first fifth of all Envoys, at 40 s."""
    return lambda count, _: [(40.0, partial(what, at=place)) for place in range(max(1, count // 5))]


def restart_events(*, keeps: bool) -> Callable[[int, LedgerOptions], list[tuple[float, Event]]]:
    """The server goes at 60 s and is back a second later, with its state or without."""

    def events(count: int, options: LedgerOptions) -> list[tuple[float, Event]]:
        before: list[Noting] = []

        def stop(world: World) -> None:
            server = world.servers[0]
            assert isinstance(server, Noting)
            before.append(server)
            for place in range(count):
                world.disconnect(place, fin=False)
                world.servers[place] = None

        def start(world: World) -> None:
            learn_until_s = world.now_s + options.tuning.ttl_s
            world.servers = [before[0] if keeps else Noting(Ledger(options, learn_until_s))] * count

        return [(60.0, stop), (61.0, start)]

    return events


def _loses(world: World) -> None:
    world.lost_reports = 0.2


def _names(world: World) -> None:
    world.keeps_names = True


SCENARIOS = {
    "steady": Scenario(steady),
    "skewed": Scenario(zipf),
    "churn": Scenario(steady, churn_events),
    "crash": Scenario(steady, _fifth(World.leave)),
    "flash": Scenario(flash),
    "shift": Scenario(shift),
    "drift": Scenario(drift),
    "bursty": Scenario(bursty),
    "lossy": Scenario(zipf, prepare=_loses),
    "silent death": Scenario(steady, _fifth(partial(World.leave, fin=False))),
    "cut off": Scenario(steady, _fifth(World.cut)),
    "reset": Scenario(zipf, _fifth(World.disconnect)),
    "restart, lost": Scenario(zipf, restart_events(keeps=False)),
    "restart, kept": Scenario(zipf, restart_events(keeps=True), _names),
}


def simulate(scenario: Scenario, count: int, options: LedgerOptions, seed: int = 1) -> Outcome:
    """Run a scenario on one ledger, and look at each step that no more is in force than the limit."""
    world = World(count, Noting(Ledger(options)), scenario.demand(count, options.limit_per_s), seed)
    scenario.prepare(world)
    return measure(world, scenario, options)


def measure(world: World, scenario: Scenario, options: LedgerOptions) -> Outcome:
    """Run a scenario in a world that is ready, and see how well its servers did."""
    ideal = np.zeros(world.count)
    admitted = np.zeros(world.count)
    events = sorted(scenario.events(world.count, options), key=lambda event: event[0])
    limit = options.limit_per_s
    for second in range(int(scenario.length_s)):
        while events and events[0][0] <= second:
            events.pop(0)[1](world)
        fair = max_min(list(world.demand(second + 0.5) * world.alive), [1.0] * world.count, limit)
        before = world.admitted_of.copy()
        world.run(second + 1)
        if second >= WARM_S:
            ideal += fair
            admitted += world.admitted_of - before
    return _outcome(world, limit, (ideal, admitted))


def _outcome(world: World, limit: float, by_envoy: tuple[Floats, Floats]) -> Outcome:
    record = world.record
    ideal, admitted = by_envoy
    steps, warm = round(WINDOW_S / STEP_S), round(WARM_S / STEP_S)
    sums = np.concatenate([[0.0], np.cumsum(record.admitted)])
    windows = sums[steps:] - sums[:-steps]
    gifts = np.concatenate([[0.0], np.cumsum(np.array(record.given) + np.array(record.unassigned))])
    bounds = gifts[steps:] - gifts[:-steps] + np.concatenate([[0.0], record.full])[: len(windows)]
    allowance = limit * WINDOW_S
    assert (windows <= allowance + bounds + 1e-6).all(), "more was admitted than rates and bursts explain"
    ratio = admitted[ideal > 0] / ideal[ideal > 0]
    return Outcome(
        overshoot=float(windows[warm:].max() / allowance - 1),
        use=float(admitted.sum() / ideal.sum()),
        jain=float(ratio.sum() ** 2 / (len(ratio) * (ratio**2).sum())),
        in_force=max(record.in_force) / limit,
        bound=float(bounds[warm:].max() / allowance),
        pushes_per_min=world.pushes / world.count / world.now_s * 60,
    )
