"""Property tests that run for a time: seconds in `make test`, a minute in CI (FUZZ_S in tests/conftest.py)."""

import time
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import FUZZ_S

# Without shrinking, which may take minutes, longer than a test has: what was found is to be told at all.
PHASES = (Phase.explicit, Phase.generate)
ROUND = settings(max_examples=100, database=None, phases=PHASES, suppress_health_check=list(HealthCheck))


def fuzz(check: Callable[..., None], *strategies: st.SearchStrategy[object]) -> None:
    """Draw and check until the time is over, at least one round."""
    end = time.monotonic() + FUZZ_S
    while True:
        ROUND(given(*strategies)(check))()
        if time.monotonic() >= end:
            return
