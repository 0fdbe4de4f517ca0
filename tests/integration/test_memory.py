import os
import subprocess
import sys

import pytest

# 120 MB resident, less 23 MB of library files: see flood.py.
HELD_MB_MAX = 97


@pytest.mark.integration
@pytest.mark.parametrize(("requests", "value_bytes"), [(90_000, 10), (40_000, 1_000), (10_000, 4_000)])
def test_unique_values_cannot_grow_the_process(requests: int, value_bytes: int) -> None:
    """The memo of plans, the memory store and the over-limit cache together stay within what is said."""
    command = [sys.executable, "-m", "tests.integration.flood", str(requests), str(value_bytes)]
    # Coverage, which follows into child processes, holds 8 MB of its own.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100, env=environ)
    before, after = map(int, done.stdout.split())
    assert 30 < before < after <= HELD_MB_MAX
