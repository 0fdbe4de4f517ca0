from pathlib import Path

import pytest

from tests.differential.peer import NoPeerError, build


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference's server, built once; without Go or its source there is nothing to compare with."""
    try:
        return build(tmp_path_factory.mktemp("reference"))
    except NoPeerError as error:
        pytest.skip(f"no reference to compare with: {error}")
