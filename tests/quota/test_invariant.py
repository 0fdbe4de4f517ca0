"""Whatever happens to Envoys, streams, replicas and the store: no more is in force than the limit."""

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ratelimit.quota.ledger import Ledger
from ratelimit.quota.ledger_store import SharedPlace
from ratelimit.quota.options import AckMode, LedgerOptions
from ratelimit.quota.shared_ledger import SharedLedger
from tests.quota.fleet import Fault, Fleet
from tests.quota.noting import Noting
from tests.quota.replicas import FarLedgers

LIMIT = 10.0
LENGTH_S = 45.0
# To shrink a failure takes minutes: it is done by hand, without this.
SOME = settings(max_examples=20, derandomize=True, phases=[Phase.explicit, Phase.generate])
KINDS = ("demand", "delay", "lose", "drop", "die", "cut", "restart", "stall")


def faults(*kinds: str) -> st.SearchStrategy[list[Fault]]:
    """Some of these kinds, at any time, to any Envoy."""
    one = st.builds(Fault, st.floats(0, LENGTH_S), st.sampled_from(kinds), st.integers(0, 4), st.floats(0, 1))
    return st.lists(one, max_size=25)


@pytest.mark.parametrize("ack", AckMode)
@pytest.mark.parametrize("keeps_names", [True, False], ids=["named", "unnamed"])
@given(happens=faults(*KINDS))
@SOME
def test_one_ledger_never_exceeds_its_limit(ack: AckMode, keeps_names: bool, happens: list[Fault]) -> None:
    """In what the Envoys obey, and in what the ledger believes."""
    ledger = Ledger(LedgerOptions(LIMIT, ack=ack))
    fleet = Fleet([Noting(ledger)], 5, keeps_names=keeps_names)

    def check() -> None:
        assert sum(row.hold for row in ledger.rows.values()) <= LIMIT + 1e-9
        assert fleet.in_force() <= LIMIT + 1e-9

    fleet.run(happens, LENGTH_S, check)


@given(happens=faults(*KINDS))
@SOME
def test_a_strict_ledger_waits_for_leases_of_ended_streams(happens: list[Fault]) -> None:
    """Even one that ends its stream and is then cut off exceeds nothing."""
    fleet = Fleet([Noting(Ledger(LedgerOptions(LIMIT, close_frees=False)))], 5, strict=True)

    def check() -> None:
        assert fleet.in_force() <= LIMIT + 1e-9

    fleet.run(happens, LENGTH_S, check)


@given(happens=faults(*KINDS, "move"), store=faults("away", "back", "forget"))
@SOME
def test_replicas_never_exceed_it_together(happens: list[Fault], store: list[Fault]) -> None:
    """While a store is away for both, or answers and its answer gets lost."""
    ledgers = FarLedgers()
    replicas = [SharedLedger(LedgerOptions(LIMIT), SharedPlace(ledgers, b"b", name)) for name in ("one", "two")]
    fleet = Fleet([Noting(each) for each in replicas], 5)
    events = sorted(store, key=lambda fault: fault.at_s)

    def step(now_s: float) -> None:
        while events and events[0].at_s <= now_s:
            ledgers.fault(events.pop(0).what)
        ledgers.step(now_s)

    fleet.before_step = step

    def check() -> None:
        assert fleet.in_force() <= LIMIT + 1e-9

    fleet.run(happens, LENGTH_S, check)
