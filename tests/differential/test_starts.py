from pathlib import Path

import pytest

from tests.differential.starts import unlike
from tests.settings.verdicts import of_meaning

pytestmark = [pytest.mark.integration, pytest.mark.reference]


async def test_the_reference_starts_as_the_table_says(peer: Path, tmp_path: Path, valkey_port: int) -> None:
    """Some of what is made of values; all of it, and each spelling of each kind, is for `make surface`."""
    cases = [case for case in of_meaning()[::5] if case.environ.get("LOG_LEVEL", "").lower() not in QUIET]
    assert await unlike(cases, peer, tmp_path, valkey_port) == []


# It does not say that it listens.
QUIET = {"error", "fatal", "panic"}
