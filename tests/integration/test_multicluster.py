"""The tables of docs/multicluster.md, in numbers, with the resources that deploy/multicluster ships."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.two_clusters import TwoClusters, cut

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture
async def clusters(tmp_path: Path) -> AsyncIterator[TwoClusters]:
    """Not started yet; ended after the test, and no Envoy had anything deprecated to say."""
    clusters = TwoClusters(tmp_path)
    yield clusters
    await clusters.stop()
    for envoy in clusters.envoys:
        assert "deprecated" not in envoy.program.log.read_text().lower()


async def test_one_store_is_one_limit_for_both(clusters: TwoClusters) -> None:
    """Exactly; who loses the way to the store asks the other cluster, and who loses the link too is refused."""
    await clusters.start("")
    assert sum(await clusters.admitted("gold", 12)) == 10
    assert clusters.store_link is not None
    await cut(clusters.store_link)
    answered = await clusters.until_answered(1, "bronze")
    others = await clusters.statuses(0, "bronze", 6)
    assert answered[500] >= 1
    assert answered[200] + others[200] == 3
    await clusters.break_link()
    assert await clusters.statuses(1, "silver", 8) == {500: 8}
    assert await clusters.statuses(0, "silver", 8) == {200: 5, 429: 3}


async def test_shares_sum_to_the_limit(clusters: TwoClusters) -> None:
    """Each admits its own; without its service it has what the other admits. A broken link changes nothing."""
    await clusters.start("split")
    assert await clusters.admitted("gold", 12) == [6, 4]
    assert await clusters.admitted("", 4) == [1, 0]
    await clusters.instances[0].program.stop(signal.SIGKILL)
    answered = await clusters.until_answered(0, "bronze")
    others = await clusters.statuses(1, "bronze", 6)
    assert answered[200] + others[200] == 1
    await clusters.break_link()
    assert await clusters.statuses(1, "silver", 8) == {200: 2, 429: 6}
    assert await clusters.statuses(0, "silver", 8) == {500: 8}
