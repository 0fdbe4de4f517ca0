"""Envoys as Envoy 1.40 has them, in steps of 10 ms: token buckets that refill continuously, reports every 5 s, pings.

The truth is here: what is in force and what was admitted, whatever the server believes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ratelimit.quota.assignment import Abandon, Assign, Push

STEP_S = 0.01
STEPS_PER_S = 100
TICK_STEPS = 5
REPORT_S = 5.0
Floats = NDArray[np.float64]


class Server(Protocol):
    """What a ledger is to the world."""

    def take_report(self, envoy: str, allowed: int, denied: int, elapsed_s: float, now_s: float) -> Push | None: ...

    def acked(self, envoy: str, seq: int, now_s: float) -> None: ...

    def closed(self, envoy: str, now_s: float) -> None: ...

    def tick(self, now_s: float) -> list[Push]: ...


@dataclass
class Record:
    """One number for each step: requests per step, rates per second, tokens."""

    admitted: list[float] = field(default_factory=list)
    in_force: list[float] = field(default_factory=list)
    full: list[float] = field(default_factory=list)
    given: list[float] = field(default_factory=list)
    unassigned: list[float] = field(default_factory=list)


class World:
    """`demand(t)` is the rate of each Envoy's requests. Envoys join, leave, die and are cut off as a scenario says."""

    def __init__(self, count: int, server: Server, demand: Callable[[float], Floats], seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.count = count
        self.demand = demand
        self.servers: list[Server | None] = [server] * count
        self.now_s = 0.0
        self.lost_reports = 0.0
        self.keeps_names = False
        self.pushes = 0
        self.alive = np.ones(count, bool)
        self.connected = np.ones(count, bool)
        self.cut_off = np.zeros(count, bool)
        self.knows = np.zeros(count, bool)
        self.assigned = np.zeros(count, bool)
        self.rate, self.most, self.tokens, self.expires = (np.zeros(count) for _ in range(4))
        self.allowed, self.denied, self.reported = (np.zeros(count) for _ in range(3))
        self.next_report = self.random.uniform(0, REPORT_S, count)
        self.names = [f"envoy-{at}.0" for at in range(count)]
        self.renamed = 0
        self.admitted_of = np.zeros(count)
        self.record = Record()
        self.arriving: list[tuple[Server, Push]] = []
        self.acks: list[tuple[Server, str, int]] = []
        self.step = 0
        self.arrivals = np.zeros((STEPS_PER_S, count))
        # Called before each step, with the moment.
        self.before_step: Callable[[float], None] = lambda _: None

    def run(self, until_s: float) -> None:
        """Go on until a moment."""
        while self.now_s < until_s - STEP_S / 2:
            self._step()

    def join(self, at: int) -> None:
        """A new process starts in this place."""
        self.alive[at] = self.connected[at] = True
        self.cut_off[at] = False
        self._forget(at)
        self._rename(at)
        self.next_report[at] = self.now_s + REPORT_S

    def leave(self, at: int, *, fin: bool = True) -> None:
        """The process ends, with the end of its stream or without."""
        self.alive[at] = False
        self.disconnect(at, fin=fin)

    def disconnect(self, at: int, *, fin: bool = True) -> None:
        """The stream ends; whoever lives connects again at its next report."""
        server = self.servers[at]
        if fin and self.connected[at] and server is not None:
            server.closed(self.names[at], self.now_s)
        self.connected[at] = False

    def cut(self, at: int) -> None:
        """Nothing reaches it or comes from it any more; it goes on serving."""
        self.connected[at] = False
        self.cut_off[at] = True

    def _rename(self, at: int) -> None:
        if not self.keeps_names or not self.alive[at]:
            self.renamed += 1
            self.names[at] = f"envoy-{at}.{self.renamed}"

    def _forget(self, at: int) -> None:
        self.knows[at] = self.assigned[at] = False
        self.rate[at] = self.most[at] = self.tokens[at] = self.allowed[at] = self.denied[at] = 0

    def _obeys(self) -> NDArray[np.bool_]:
        return self.alive & self.assigned & (self.now_s < self.expires)

    def _step(self) -> None:
        if self.step % STEPS_PER_S == 0:
            rates = self.demand(self.now_s) * STEP_S
            self.arrivals = self.random.poisson(rates, (STEPS_PER_S, self.count)).astype(float)
        wanted = self.arrivals[self.step % STEPS_PER_S] * self.alive
        self.step += 1
        self.now_s = self.step * STEP_S
        self.before_step(self.now_s)
        given = self._deliver()
        np.minimum(self.most, self.tokens + self.rate * STEP_S, out=self.tokens)
        obeys = self._obeys()
        bounded = np.minimum(wanted, np.floor(self.tokens + 1e-9)) * obeys
        self.tokens -= bounded
        free = wanted * (self.alive > self.assigned)
        admitted = bounded + free
        self.allowed += admitted
        self.denied += wanted - admitted
        self.admitted_of += admitted
        self._report(wanted)
        if self.step % TICK_STEPS == 0:
            self._tick()
        record = self.record
        record.admitted.append(float(admitted.sum()))
        record.unassigned.append(float(free.sum()))
        record.in_force.append(float(self.rate.dot(obeys)))
        record.full.append(float(self.tokens.dot(obeys)))
        record.given.append(given)

    def _report(self, wanted: Floats) -> None:
        if not self.knows.all():
            self._be_born(np.flatnonzero(self.alive & ~self.knows & (wanted > 0)))
        if self.now_s < self.next_report.min():
            return
        for at in np.flatnonzero(self.now_s >= self.next_report):
            self.next_report[at] += REPORT_S
            if not self.alive[at]:
                continue
            if not self.connected[at] and not self.cut_off[at] and self.servers[at] is not None:
                self.connected[at] = True
                self._rename(at)
            if self.knows[at] and self._reachable(at):
                self._send(at, int(self.allowed[at]), int(self.denied[at]), int(self.now_s - self.reported[at] + 1e-6))
                self.reported[at] = self.now_s
                self.allowed[at] = self.denied[at] = 0

    def _be_born(self, born: NDArray[np.intp]) -> None:
        for at in born:
            self.knows[at] = True
            self.reported[at] = self.now_s
            if self._reachable(at):
                self._send(at, 1, 0, 0)
            # The first request of a bucket that is born while nobody listens is not counted.
            self.allowed[at], self.denied[at] = max(0.0, self.allowed[at] - 1), 0.0

    def _reachable(self, at: int) -> bool:
        return bool(self.connected[at]) and self.servers[at] is not None

    def _send(self, at: int, allowed: int, denied: int, elapsed_s: int) -> None:
        server = self.servers[at]
        if server is not None and not (self.lost_reports and self.random.random() < self.lost_reports):
            push = server.take_report(self.names[at], allowed, denied, elapsed_s, self.now_s)
            if push is not None:
                self.pushes += 1
                self.arriving.append((server, push))

    def _tick(self) -> None:
        for server in {id(each): each for each in self.servers if each is not None}.values():
            pushes = server.tick(self.now_s)
            self.pushes += len(pushes)
            self.arriving += [(server, push) for push in pushes]

    def _deliver(self) -> float:
        if not self.acks and not self.arriving:
            return 0.0
        acks, self.acks = self.acks, []
        for server, envoy, seq in acks:
            server.acked(envoy, seq, self.now_s)
        arriving, self.arriving = self.arriving, []
        place = {name: at for at, name in enumerate(self.names)}
        given = 0.0
        for server, push in arriving:
            at = place.get(push.envoy)
            if at is None or not self.alive[at] or not self.connected[at] or self.servers[at] is not server:
                continue
            given += self._obey(at, push)
            if push.asks:
                self.acks.append((server, push.envoy, push.seq))
        return given

    def _obey(self, at: int, push: Push) -> float:
        """Take a push in; returns the tokens that a new bucket brought."""
        action = push.action
        if isinstance(action, Abandon):
            self._forget(at)
        if not isinstance(action, Assign) or not self.knows[at]:
            return 0.0
        rate, most = action.tokens_per_fill / action.fill_interval_s, float(action.max_tokens)
        if action.denies:
            rate = most = 0.0
        was_over = self.now_s >= self.expires[at]
        same = self.assigned[at] and not was_over and (rate, most) == (self.rate[at], self.most[at])
        self.assigned[at] = True
        self.expires[at] = self.now_s + action.ttl_s
        if same:
            return 0.0
        self.rate[at], self.most[at] = rate, most
        before, self.tokens[at] = self.tokens[at], most
        return most - min(before, most)
