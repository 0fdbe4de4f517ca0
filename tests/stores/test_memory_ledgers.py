"""Ledgers in this process."""

import pytest

from ratelimit.clock import SteppedClock
from ratelimit.quota.ledger_store import KEPT_S, NOTHING
from tests.stores.ledger_contract import LedgerStoreContract, committed
from tests.stores.memory_ledgers import MemoryLedgers


class TestMemoryLedgers(LedgerStoreContract):
    """The model passes its own contract."""

    @pytest.fixture
    def ledgers(self) -> MemoryLedgers:
        return MemoryLedgers(SteppedClock())


async def test_a_bucket_that_nobody_commits_to_goes() -> None:
    """And its next life has other versions."""
    clock = SteppedClock()
    ledgers = MemoryLedgers(clock)
    first = await committed(ledgers, NOTHING, {"a": b"1"})
    clock.advance(KEPT_S - 1)
    second = await committed(ledgers, first, {"a": b"2"})
    clock.advance(KEPT_S - 1)
    assert await committed(ledgers, second, {}) == second
    clock.advance(1)
    assert await committed(ledgers, NOTHING, {}) == NOTHING
    assert len(ledgers) == 0
    assert await committed(ledgers, NOTHING, {"a": b"1"}) > second
