"""The order in which an Envoy reports."""

from ratelimit.service.rlqs.order import Order


def test_the_same_buckets_in_the_same_order_are_known_again() -> None:
    """Not where one is missing, others change places, or their bytes are the same only as one text."""
    came = [b"ab", b"c", b"def"]
    order = Order(came, [b"canonical", b"c", b"def"])
    assert order.is_of([b"ab", b"c", b"def"])
    assert order.buckets == [b"canonical", b"c", b"def"]
    others = [came[:2], [b"c", b"ab", b"def"], [b"a", b"bc", b"def"], [b"ab", b"c", b"deg"], []]
    assert not any(order.is_of(each) for each in others)
