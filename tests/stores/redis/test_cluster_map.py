import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from ratelimit.settings import RedisSettings
from ratelimit.stores.redis import cluster_map
from ratelimit.stores.redis.cluster_map import ClusterMap
from ratelimit.stores.redis.connect import Dial, RefusedError
from ratelimit.stores.redis.slots import SlotRange

ANSWER = [[0, 16383, [b"m", 7]]]


class Told:
    """A map whose nodes answer from a list, and what came of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Any, counting: Sequence[Dial] = ()) -> None:
        self.asked: list[str] = []
        self.maps: asyncio.Queue[Sequence[SlotRange]] = asyncio.Queue()
        rest = iter(answers)

        async def ask(dial: Dial, *_: object) -> list[Any]:
            self.asked.append(dial.target.shown)
            found = next(rest, ANSWER)
            if isinstance(found, Exception):
                raise found
            return [found]

        monkeypatch.setattr(cluster_map, "ask", ask)
        monkeypatch.setattr(cluster_map, "ASK_EVERY_S", 0.01)
        place = RedisSettings(redis_type="CLUSTER", redis_url="s1:1,s2:2", redis_startup_initial_interval=0).place
        self.map = ClusterMap(place, lambda: counting, self.maps.put_nowait)


async def test_nodes_that_count_are_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then those of the settings, another one first each time; an empty host is the one asked."""
    place = RedisSettings(redis_url="redis://m:7", redis_socket_type="tcp").place
    told = Told(monkeypatch, OSError("gone"), OSError("gone"), [[0, 5, [b"", 9]]], counting=[Dial(place.servers[0])])
    assert await told.map.fetch() == [SlotRange(0, 5, ("s1", 9))]
    assert told.asked == ["m:7", "s2:2", "s1:1"]


@pytest.mark.parametrize(
    ("answer", "reason", "kind"),
    [
        ([], "node s1:1: knows no node that has slots", OSError),
        (RefusedError("WRONGPASS"), "node s1:1: WRONGPASS", RefusedError),
    ],
)
async def test_why_there_is_no_map(
    monkeypatch: pytest.MonkeyPatch, answer: object, reason: str, kind: type[OSError]
) -> None:
    """The last node's reason is told, and one for people stays one."""
    with pytest.raises(kind, match=reason):
        await Told(monkeypatch, answer, answer).map.fetch()


async def test_it_is_asked_for_again_when_it_may_be_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start until a node answers, then only when something says so, however often."""
    told = Told(monkeypatch, OSError("gone"), OSError("gone"), OSError("gone"), RefusedError("NOAUTH"))
    assert told.map.reason == "not asked yet"
    with structlog.testing.capture_logs() as logs:
        told.map.start()
        await asyncio.wait_for(told.maps.get(), 30)
    assert [each["event"].rpartition("'s ")[2] for each in logs if each["log_level"] == "warning"] == [
        "map cannot be had",
        "map cannot be had",
        "map can be had again",
    ]
    assert told.map.reason == ""
    for _ in range(3):
        told.map.note_old()
    await asyncio.wait_for(told.maps.get(), 30)
    assert told.maps.empty()
    assert len(told.asked) == 6
    await told.map.close()


async def test_it_may_be_closed_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nobody was asked."""
    told = Told(monkeypatch)
    await told.map.close()
    assert told.asked == []
