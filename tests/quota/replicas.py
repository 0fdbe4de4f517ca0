"""Two replicas on one store: the scenarios of `scenarios.py`, and what can happen to a replica or to the store."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ratelimit.errors import StoreError
from ratelimit.quota.ledger_store import Commit, CommitResult, SharedPlace
from ratelimit.quota.options import LedgerOptions
from ratelimit.quota.shared_ledger import SharedLedger
from tests.quota.noting import Noting
from tests.quota.scenarios import Event, Outcome, Scenario, measure
from tests.quota.world import World
from tests.stores.memory_ledgers import MemoryLedgers

EPOCH_S = 1_700_000_000.0


class FarLedgers:
    """A store whose answers come a step later; it can be away, and lose what it has."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.ahead_s = EPOCH_S
        self.away = False
        self.commits = 0
        self._forgets = False
        self._ledgers = MemoryLedgers(self)
        self._answers: list[tuple[Callable[[CommitResult], None], CommitResult]] = []

    def now(self) -> float:
        """The clock of the store."""
        return self.now_s + self.ahead_s

    def commit(self, commit: Commit, done: Callable[[CommitResult], None]) -> None:
        """See `LedgerStore`."""
        self.commits += 1
        if self.away:
            self._answers.append((done, StoreError("the store is away")))
        else:
            self._ledgers.commit(commit, lambda result: self._answers.append((done, result)))

    def fault(self, what: str) -> None:
        """`away`, `back`, or `forget`: the next answer does not come, though the commit was applied."""
        self.away = what == "away"
        self._forgets = what == "forget"

    def lose(self) -> None:
        """Forget everything."""
        self._ledgers = MemoryLedgers(self)

    def step(self, now_s: float) -> None:
        """Answer what was asked in the step before."""
        self.now_s = now_s
        answers, self._answers = self._answers, []
        for done, result in answers:
            done(StoreError("late", outcome_unknown=True) if self._forgets else result)
            self._forgets = False


class Replicas:
    """Two ledgers on one store; every other Envoy is connected to the second."""

    def __init__(self, count: int, options: LedgerOptions) -> None:
        self.store = FarLedgers()
        self.options = options
        self.ledgers = [self.start("first"), self.start("second")]
        self.servers = [Noting(ledger) for ledger in self.ledgers]
        self.of_each = [self.servers[at % 2] for at in range(count)]

    def start(self, name: str) -> SharedLedger:
        """One more replica."""
        return SharedLedger(self.options, SharedPlace(self.store, b"bucket", name))


Events = Callable[[Replicas], Sequence[tuple[float, Event]]]


def nothing(_: Replicas) -> Sequence[tuple[float, Event]]:
    """None of what follows."""
    return ()


def killed_at(at_s: float) -> Events:
    """One replica is killed then."""
    return lambda replicas: [(at_s, _kill_one(replicas))]


def _kill_one(replicas: Replicas) -> Event:
    """The first replica dies; its Envoys connect to the second at their next report."""

    def event(world: World) -> None:
        for place in range(0, world.count, 2):
            world.disconnect(place, fin=False)
            world.servers[place] = replicas.servers[1]

    return event


def _away(replicas: Replicas, *, away: bool) -> Event:
    def event(_: World) -> None:
        replicas.store.away = away

    return event


def _lose(replicas: Replicas) -> Event:
    return lambda _: replicas.store.lose()


def _step(replicas: Replicas, seconds: float) -> Event:
    def event(_: World) -> None:
        replicas.store.ahead_s += seconds

    return event


WITH_REPLICAS: dict[str, Events] = {
    "replica killed": killed_at(60.0),
    "store away": lambda replicas: [(50.0, _away(replicas, away=True)), (70.0, _away(replicas, away=False))],
    "store lost": lambda replicas: [(60.0, _lose(replicas))],
    "clock forward": lambda replicas: [(60.0, _step(replicas, 20.0))],
    "clock back": lambda replicas: [(60.0, _step(replicas, -100.0))],
}


def simulate_replicas(
    scenario: Scenario, options: LedgerOptions, happens: Events = nothing, *, count: int = 10, named: bool = True
) -> tuple[Outcome, Replicas]:
    """Run a scenario on two replicas, to which something happens beside it."""
    replicas = Replicas(count, options)
    world = World(count, replicas.servers[0], scenario.demand(count, options.limit_per_s), 1)
    world.servers = list(replicas.of_each)
    world.keeps_names = named
    world.before_step = replicas.store.step
    whole = replace(scenario, events=lambda n, o: [*scenario.events(n, o), *happens(replicas)])
    whole.prepare(world)
    return measure(world, whole, options), replicas
