from ratelimit.clock import FollowingClock, SteppedClock
from ratelimit.stores.redis.cluster_clock import ClusterClock
from ratelimit.stores.redis.slots import Address

A, B, C = ("a", 1), ("b", 1), ("c", 1)


class Held:
    """A clock of a Cluster, whose nodes are said to be away or there."""

    def __init__(self) -> None:
        self.first: Address | None = A
        self.there = {A, B, C}
        self.clock = FollowingClock(SteppedClock(0), lambda: 0.0)
        self.cluster = ClusterClock(self.clock, lambda: self.first, lambda node: node in self.there)

    def heard(self, node: Address, told: float) -> float:
        """What time it is after a node told its own."""
        self.cluster.of(node).hear(told, 0, 0)
        return self.clock.now()


def test_one_node_is_listened_to() -> None:
    """What the others tell is passed over."""
    held = Held()
    assert [held.heard(A, 100), held.heard(B, 200), held.heard(A, 101)] == [100, 100, 101]


def test_another_takes_its_place_while_it_is_away() -> None:
    """And stays it, until it is lost too or the first is back."""
    held = Held()
    held.heard(A, 100)
    held.first = None
    held.there = {B, C}
    assert [held.heard(B, 200), held.heard(C, 300), held.heard(B, 201)] == [200, 200, 201]
    held.there = {C}
    assert held.heard(C, 301) == 301
    held.first = A
    assert [held.heard(C, 302), held.heard(A, 103)] == [301, 103]
