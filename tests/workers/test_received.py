import json

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.sources.handover import node_lines, tree_nodes
from ratelimit.workers.received import Received

CONFIG = load_config(
    [ConfigFile("f", b"domain: d\ndescriptors: [{key: k, rate_limit: {unit: day, requests_per_unit: 1}}]")]
)
OTHER = load_config([ConfigFile("f", b"domain: e\ndescriptors: [{key: k}]")])


def take(received: Received, config: object) -> None:
    """All pieces of one."""
    for text in node_lines(tree_nodes(config)):
        received.take(json.loads(text)["nodes"])


async def test_a_configuration_is_given_once_and_by_its_generation() -> None:
    """Only when it is whole, and none that was not asked for."""
    received = Received()
    await received.begin()
    take(received, CONFIG)
    assert received.get(1) is None
    received.whole(1)
    assert received.get(2) is None
    config = received.get(1)
    assert config is not None
    assert (list(config.domains), config.limits) == (["d"], 1)
    await received.in_force()
    assert received.get(1) is None


async def test_a_configuration_that_is_broken_off_is_void() -> None:
    """Another one began before it was whole, or before it was put in force."""
    received = Received()
    take(received, CONFIG)
    await received.begin()
    take(received, CONFIG)
    received.whole(1)
    await received.begin()
    assert received.get(1) is None
    take(received, OTHER)
    received.whole(2)
    config = received.get(2)
    assert config is not None
    assert list(config.domains) == ["e"]


async def test_the_one_before_is_let_go_of() -> None:
    """Its nodes go piece by piece, once another is in force."""
    received = Received()
    for generation in (1, 2):
        await received.begin()
        take(received, CONFIG)
        received.whole(generation)
        assert received.get(generation) is not None
        held = received._in_force
        await received.in_force()
        assert held == []
        assert [len(piece) for piece in received._in_force] == [2]
