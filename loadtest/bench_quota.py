"""`make bench-quota`: the allocator in every scenario of tests/quota, and what it costs.

First a table: worst overshoot of 10 s, use of the limit, Jain's index, all in the world's truth, for 10 and 100 Envoys
and limits from 10 to 10,000 a second; that no more than the limit is in force is looked at in each step of each run.
Then µs for a report that is taken in at once, a plan and a row as bytes, and the CPU that BUCKETS (1,000) buckets of
100 Envoys take by themselves. SEED chooses the random numbers.
"""

import sys
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from loadtest.sizes import number_of
from ratelimit.quota.division import divide
from ratelimit.quota.ledger import Ledger
from ratelimit.quota.options import LedgerOptions
from ratelimit.quota.row import Row
from ratelimit.service.rlqs.ledgers import PLAN_EVERY_S_MAX, ROWS_PER_S
from tests.quota.noting import Noting
from tests.quota.replicas import WITH_REPLICAS, simulate_replicas
from tests.quota.scenarios import SCENARIOS, Outcome, simulate

FLEETS = [(10, 1_000.0), (10, 10_000.0), (100, 2_000.0), (100, 10_000.0), (10, 200.0), (10, 100.0), (10, 10.0)]
IN_FORCE_MOST = 1 + 1e-9
ENVOYS = 100
REPORT_S = 5
SECONDS = 20
LIMIT_PER_S = 2_000.0


def shown(outcome: Outcome) -> str:
    """One cell: overshoot, use, Jain's index, bound, pushes for each Envoy and minute."""
    return (
        f"{100 * outcome.overshoot:.1f}/{100 * outcome.use:.1f}/{outcome.jain:.2f}"
        f" ({100 * outcome.bound:.0f}, {outcome.pushes_per_min:.0f})"
    )


def sound(outcome: Outcome) -> Outcome:
    """An outcome in which nothing was exceeded. Raises AssertionError."""
    if outcome.in_force > IN_FORCE_MOST:
        raise AssertionError(f"{outcome.in_force:.4f} of the limit was in force")
    return outcome


def table(seed: int) -> None:
    """All scenarios by all fleets, as Markdown."""
    print("worst 10 s over % / use % / Jain (most that bursts could add %, pushes per Envoy and minute)\n")
    print("scenario |" + "|".join(f" {count} × {limit:,.0f}/s " for count, limit in FLEETS))
    print("---|" * (len(FLEETS) + 1))
    for name, scenario in SCENARIOS.items():
        cells = [shown(sound(simulate(scenario, count, LedgerOptions(limit), seed))) for count, limit in FLEETS]
        print(name, "|", " | ".join(cells), flush=True)
    print("\ntwo replicas, 10 × 1,000/s\n---|---")
    for name in ("skewed", "churn", "flash", "shift"):
        print(name, "|", shown(sound(simulate_replicas(SCENARIOS[name], LedgerOptions(1_000.0))[0])), flush=True)
    for name, happens in WITH_REPLICAS.items():
        outcome, _ = simulate_replicas(SCENARIOS["skewed"], LedgerOptions(1_000.0), happens)
        print(name, "|", shown(sound(outcome)), flush=True)


def cost_us(what: Callable[[], object], times: int) -> float:
    """CPU µs of one call."""
    began = time.process_time()
    for _ in range(times):
        what()
    return (time.process_time() - began) / times * 1e6


def filled() -> Noting:
    """A ledger of ENVOYS Envoys that have reported for a while, demand by 1/k."""
    ledger = Noting(Ledger(LedgerOptions(LIMIT_PER_S)))
    for turn in range(4 * 100):
        now_s = 0.05 * turn
        for envoy in range(turn % 100, ENVOYS, 100):
            report(ledger, envoy, now_s, first=turn < 100)
        for push in ledger.tick(now_s):
            ledger.acked(push.envoy, push.seq, now_s)
    return ledger


def report(ledger: Noting, envoy: int, now_s: float, *, first: bool = False) -> None:
    """What an Envoy tells: it let pass what it may, and refused the rest."""
    if first:
        ledger.take_report(f"e{envoy}", 1, 0, 0, now_s)
        return
    row = rows_of(ledger)[f"e{envoy}"]
    wanted = 3_000 / (1 + envoy)
    passed = min(wanted, row.rate)
    ledger.take_report(row.envoy, int(REPORT_S * passed), int(REPORT_S * (wanted - passed)), REPORT_S, now_s)


def rows_of(noting: Noting) -> dict[str, Row]:
    """The rows of its ledger."""
    ledger: Any = noting.ledger
    rows: dict[str, Row] = ledger.rows
    return rows


def costs(buckets: int) -> None:
    """What one bucket costs, and many."""
    noting = filled()
    rows, reported = list(rows_of(noting).values()), deepcopy(noting)
    packed, now_s, options = rows[0].pack(), rows[0].last, LedgerOptions(LIMIT_PER_S)
    print(f"\nreport, at once   {cost_us(lambda: report(reported, 50, now_s), 20_000):6.1f} µs")
    print(f"plan, {ENVOYS} Envoys {cost_us(lambda: divide(rows, 0.0, options), 2_000):6.1f} µs")
    print(f"row to bytes      {cost_us(rows[0].pack, 20_000):6.1f} µs")
    print(f"row from bytes    {cost_us(lambda: Row.unpack('e', packed), 20_000):6.1f} µs")
    ledgers = [deepcopy(noting) for _ in range(buckets)]
    for each in ledgers:
        each.ledger.plan_every_s = min(max(each.ledger.plan_every_s, buckets * ENVOYS / ROWS_PER_S), PLAN_EVERY_S_MAX)
    pushes, began = 0, time.process_time()
    # Every Envoy reports all its buckets at once, ENVOYS / 100 of them in each tick.
    for turn in range(SECONDS * 20):
        now_s = 20.0 + 0.05 * turn
        for each in ledgers:
            for envoy in range(turn % 100, ENVOYS, 100):
                report(each, envoy, now_s)
            if now_s >= each.ledger.next_tick_s:
                for push in each.tick(now_s):
                    pushes += 1
                    each.acked(push.envoy, push.seq, now_s)
    used = (time.process_time() - began) / SECONDS
    print(f"{buckets:,} buckets × {ENVOYS} Envoys: {used:.2f} of a core, {pushes / SECONDS:,.0f} pushes a second")


def main() -> None:
    """Print both."""
    try:
        buckets, seed = number_of("BUCKETS", 1_000, 1), number_of("SEED", 1, 0)
    except ValueError as error:
        sys.exit(f"bench-quota: {error}")
    costs(buckets)
    table(seed)


if __name__ == "__main__":
    main()
