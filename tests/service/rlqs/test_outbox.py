from typing import Any, cast

from ratelimit.quota.assignment import Assign, Probe, Push
from ratelimit.service.rlqs.bindings import Binding
from ratelimit.service.rlqs.outbox import Outbox


def bound(bucket: bytes) -> Binding:
    """A bucket of a stream."""
    return Binding(cast("Any", None), bucket, cast("Any", None), "row", 0)


def told(tokens: int, *, asks: bool = False) -> Push:
    """A push of so many tokens."""
    return Push("row", 1, Assign(1, tokens, 12), asks)


def outbox() -> Outbox:
    """One that makes a part of the tokens."""
    return Outbox(lambda _, action: b"%d" % cast("Assign", action).tokens_per_fill)


def test_the_last_word_on_a_bucket_counts() -> None:
    """Whether it is new or said again."""
    box, one, other = outbox(), bound(b"1"), bound(b"2")
    assert not box
    box.put(one, told(5))
    box.put(one, told(6, asks=True))
    box.repeat(b"2", b"2 again")
    box.put(other, told(7))
    box.put(bound(b"3"), told(8))
    box.repeat(b"3", b"3 again")
    assert box
    assert box.take(9) == ([b"6", b"7", b"3 again"], [(one, told(6, asks=True))])
    assert not box
    assert box.take(9) == ([], [])


def test_a_response_is_of_so_many_buckets() -> None:
    """What is new goes first."""
    box = outbox()
    for number in range(3):
        box.repeat(b"r%d" % number, b"r%d" % number)
        box.put(bound(b"p%d" % number), told(number))
    assert [box.take(2)[0] for _ in range(4)] == [[b"0", b"1"], [b"2", b"r0"], [b"r1", b"r2"], []]


def test_a_question_goes_with_what_waits() -> None:
    """New or said again; a rule without a ledger is nothing to ask about, and alone it is no part of a response."""
    box, one = outbox(), bound(b"1")
    probe = Push("row", 1, Probe())
    box.put(one, probe)
    assert box.take(9) == ([], [(one, probe)])
    box.put(one, told(5))
    box.put(one, probe)
    assert box.take(9) == ([b"5"], [(one, told(5, asks=True))])
    one.tell(Assign(1, 6, 12))
    box.repeat(b"1", one.part)
    box.put(one, probe)
    assert box.take(9) == ([b"6"], [(one, told(6, asks=True))])
    box.repeat(b"1", b"rule")
    box.put(one, probe)
    assert box.take(9) == ([b"rule"], [])


def test_many_are_said_again_at_once() -> None:
    """As each by itself: in the place of what waits of them."""
    box, one = outbox(), bound(b"1")
    box.put(one, told(5))
    box.put(bound(b"2"), told(6))
    box.repeat_all([b"1", b"3"], [b"1 again", b"3 again"])
    assert box.take(9) == ([b"6", b"1 again", b"3 again"], [])
    box.repeat_all([b"1"], [b"1 again"])
    assert box.take(9) == ([b"1 again"], [])
