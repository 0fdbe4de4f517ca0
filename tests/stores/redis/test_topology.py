from ratelimit.metrics import StoreStats
from ratelimit.settings import RedisSettings
from ratelimit.stores.redis.node import NodeOptions
from ratelimit.stores.redis.topology import Single


async def test_one_server_is_one_node() -> None:
    """A batch goes to the node itself, with nothing in between."""
    place = RedisSettings(redis_socket_type="tcp", redis_url="redis.example:6380").place
    single = Single(place, NodeOptions(1.0), StoreStats(), lambda _: None)
    assert single.count == single.node.count
    assert (await single.resolve()).target == place.servers[0]
    assert not single.connected
    assert single.node_of(b"key") is single.node
    single.note_old()
