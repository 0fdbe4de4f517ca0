"""A few Envoys whose messages are late, lost or cut off, in steps of 50 ms: what is really in force, at each step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ratelimit.quota.assignment import Abandon, Assign, Push
from tests.quota.world import Server

STEP_S = 0.05
REPORT_S = 5.0
# A message takes no longer than this; otherwise leases would be counted from too early.
DELAY_MOST_S = 0.3


@dataclass
class Fault:
    """At `at_s` something happens to one Envoy, as far as `value` (0 to 1) says."""

    at_s: float
    what: str
    envoy: int
    value: float


@dataclass
class Envoy:
    """One process, its connection and its bucket."""

    name: str
    server: Server | None
    next_report: float
    wanted: float = 1.0
    delay_s: float = 0.0
    alive: bool = True
    cut: bool = False
    loses: bool = False
    has_bucket: bool = False
    rate: float = 0.0
    tokens: float = 0.0
    most: float = 0.0
    expires: float = -1.0
    reported: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0, 0])
    life: int = 0
    inbox: list[tuple[float, Push]] = field(default_factory=list)
    outbox: list[tuple[float, Callable[[], None]]] = field(default_factory=list)


class Fleet:
    """Envoys on servers; `keeps_names`: one that connects again is known. Faults are what tests hand in.

    Not `strict`: whoever ended its stream in sight of the server is not cut off from it before it is back.
    """

    def __init__(
        self, servers: Sequence[Server], count: int, *, keeps_names: bool = True, strict: bool = False
    ) -> None:
        self.servers = servers
        self.keeps_names = keeps_names
        self.strict = strict
        self.now_s = 0.0
        self.envoys = [Envoy(f"{at}.0", servers[at % len(servers)], at * 0.7) for at in range(count)]
        self.stalled_until = 0.0
        self.before_step: Callable[[float], None] = lambda _: None

    def in_force(self) -> float:
        """The sum of all rates that somebody obeys."""
        return sum(each.rate for each in self.envoys if each.alive and each.has_bucket and self.now_s < each.expires)

    def run(self, faults: Sequence[Fault], until_s: float, check: Callable[[], None]) -> None:
        """Let time pass; `check` looks after each step."""
        left = sorted(faults, key=lambda fault: fault.at_s)
        for step in range(round(until_s / STEP_S)):
            self.now_s = step * STEP_S
            self.before_step(self.now_s)
            while left and left[0].at_s <= self.now_s:
                self.apply(left.pop(0))
            for envoy in self.envoys:
                self._live(envoy)
            if self.now_s >= self.stalled_until:
                self._serve()
            check()

    def apply(self, fault: Fault) -> None:
        """Let something happen."""
        envoy = self.envoys[fault.envoy % len(self.envoys)]
        match fault.what:
            case "demand":
                envoy.wanted = 4 * fault.value
            case "delay":
                envoy.delay_s = DELAY_MOST_S * fault.value
            case "lose":
                envoy.loses = True
            case "drop":
                self._drop(envoy, seen=fault.value < 0.5)
            case "die":
                envoy.alive = False
                self._drop(envoy, seen=fault.value < 0.5)
            case "cut":
                envoy.cut = self.strict or envoy.server is not None
            case "restart":
                self._drop(envoy, seen=True)
                envoy.has_bucket, envoy.next_report = False, self.now_s + REPORT_S
                envoy.alive = True
                self._connect(envoy)
            case "stall":
                self.stalled_until = self.now_s + 6 * fault.value
            case "move":
                self._drop(envoy, seen=False)
                envoy.life += len(self.servers) > 1

    def _drop(self, envoy: Envoy, *, seen: bool) -> None:
        server, name = envoy.server, envoy.name
        envoy.server = None
        envoy.inbox.clear()
        seen = seen and not envoy.cut  # whoever is cut off ends no stream
        envoy.outbox = [(self.now_s, lambda: server.closed(name, self.now_s))] if seen and server is not None else []

    def _connect(self, envoy: Envoy) -> None:
        place = self.envoys.index(envoy)
        # The first report of a new stream comes, or the stream ends too.
        envoy.loses = False
        for _, what in envoy.outbox:  # what ended before is seen first
            what()
        envoy.outbox.clear()
        envoy.server = self.servers[(place + envoy.life) % len(self.servers)]
        if not self.keeps_names:
            generation = int(envoy.name.split(".")[1]) + 1
            envoy.name = f"{place}.{generation}"

    def _live(self, envoy: Envoy) -> None:
        if not envoy.alive:
            return
        while envoy.inbox and envoy.inbox[0][0] <= self.now_s and not envoy.cut:
            self._obey(envoy, envoy.inbox.pop(0)[1])
        envoy.tokens = min(envoy.most, envoy.tokens + envoy.rate * STEP_S)
        # A steady stream is enough here; its part below one request is carried on by the parity of steps.
        arrived = int((self.now_s + STEP_S) * envoy.wanted) - int(self.now_s * envoy.wanted)
        if arrived and not envoy.has_bucket:
            envoy.has_bucket, envoy.rate, envoy.most, envoy.expires = True, 0.0, 0.0, -1.0
            envoy.counts, envoy.reported = [arrived - 1, 0], self.now_s
            self._tell(envoy, 1, 0, 0)
        elif envoy.has_bucket:
            passed = arrived if envoy.expires < 0 else min(arrived, int(envoy.tokens))
            envoy.tokens -= min(passed, int(envoy.tokens))
            envoy.counts[0] += passed
            envoy.counts[1] += arrived - passed
        if self.now_s >= envoy.next_report:
            envoy.next_report += REPORT_S
            if envoy.server is None and not envoy.cut:
                self._connect(envoy)
            if envoy.has_bucket and envoy.server is not None:
                allowed, denied = envoy.counts
                self._tell(envoy, allowed, denied, int(self.now_s - envoy.reported + 1e-6))
                envoy.counts, envoy.reported = [0, 0], self.now_s

    def _tell(self, envoy: Envoy, allowed: int, denied: int, elapsed_s: int) -> None:
        server, name = envoy.server, envoy.name
        lost, envoy.loses = envoy.loses, False
        if server is not None and not envoy.cut and not lost:
            arrives_s = self._arrives_s(envoy, envoy.outbox)
            envoy.outbox.append((arrives_s, lambda: self._report(server, name, (allowed, denied, elapsed_s))))

    def _report(self, server: Server, name: str, counts: tuple[int, int, int]) -> None:
        push = server.take_report(name, *counts, self.now_s)
        if push is not None:
            self._send(server, push)

    def _obey(self, envoy: Envoy, push: Push) -> None:
        action, server = push.action, envoy.server
        if isinstance(action, Abandon):
            envoy.has_bucket, envoy.rate = False, 0.0
        elif isinstance(action, Assign) and envoy.has_bucket:
            rate, most = action.tokens_per_fill / action.fill_interval_s, float(action.max_tokens)
            if (rate, most) != (envoy.rate, envoy.most) or envoy.expires <= self.now_s:
                envoy.rate, envoy.most, envoy.tokens = rate, most, most
            envoy.expires = self.now_s + action.ttl_s
        if server is not None and push.asks:
            arrives_s = self._arrives_s(envoy, envoy.outbox)
            envoy.outbox.append((arrives_s, lambda: server.acked(push.envoy, push.seq, self.now_s)))

    def _arrives_s(self, envoy: Envoy, behind: Sequence[tuple[float, object]]) -> float:
        """When a message arrives that is sent now: none overtakes another."""
        return max([self.now_s + envoy.delay_s, *(at_s for at_s, _ in behind)])

    def _serve(self) -> None:
        for envoy in self.envoys:
            while envoy.outbox and envoy.outbox[0][0] <= self.now_s:
                envoy.outbox.pop(0)[1]()
        for server in self.servers:
            for push in server.tick(self.now_s):
                self._send(server, push)

    def _send(self, server: Server, push: Push) -> None:
        for to in self.envoys:
            if to.name == push.envoy and to.server is server and to.alive:
                to.inbox.append((self._arrives_s(to, to.inbox), push))
