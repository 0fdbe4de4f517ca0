from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from ratelimit.stores.redis.slots import SLOTS, Redirect, SlotRange, probe_name, redirect_of, slot_of, slot_ranges


@given(st.text(alphabet="{}ab1", max_size=12).map(str.encode) | st.binary(max_size=40))
def test_a_slot_is_what_other_clients_say(name: bytes) -> None:
    """Only the first tag that is not empty counts, whatever braces a request brings."""
    assert slot_of(name) == key_slot(name)


def test_the_map_of_a_cluster() -> None:
    """Ranges with their masters; replicas, names and metadata are passed over; an empty host is the one asked."""
    answer = [
        [0, 5460, [b"10.0.0.1", 7000, b"id", []], [b"10.0.0.4", 7003, b"id", []]],
        [5461, 10922, [b"", 7001]],
        [10923, 10923, [None, 7002, b"id"]],
        [10924, 16383, [b"fd00::1", 7002, b"id"]],
    ]
    assert slot_ranges(answer, "asked") == [
        SlotRange(0, 5460, ("10.0.0.1", 7000)),
        SlotRange(5461, 10922, ("asked", 7001)),
        SlotRange(10923, 10923, ("asked", 7002)),
        SlotRange(10924, 16383, ("fd00::1", 7002)),
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([], "knows no node that has slots"),
        (None, "odd reply"),
        (b"OK", "odd reply"),
        ([[0, SLOTS, [b"h", 1]]], "odd reply"),
        ([[5, 4, [b"h", 1]]], "odd reply"),
        ([[0, 1, [b"h", 70000]]], "odd reply"),
        ([[0, 1, [7, 1]]], "odd reply"),
        ([[0, 1, [b"h"]]], "odd reply"),
        ([[0, 1]], "odd reply"),
        ([[0, 1, [b"?", 1]]], "cluster-announce-hostname"),
    ],
)
def test_odd_maps(answer: Any, reason: str) -> None:
    """Each is an error with a reason."""
    with pytest.raises(OSError, match=reason):
        slot_ranges(answer, "asked")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("MOVED 3999 10.0.0.1:6381", Redirect(3999, ("10.0.0.1", 6381), asking=False)),
        ("ASK 1 fd00::1:6381", Redirect(1, ("fd00::1", 6381), asking=True)),
        ("ASK 1 [fd00::1]:6381", Redirect(1, ("fd00::1", 6381), asking=True)),
        ("MOVED 0 :6381", Redirect(0, ("asked", 6381), asking=False)),
        ("MOVED 16384 h:1", None),
        ("MOVED x h:1", None),
        ("MOVED 1 h", None),
        ("MOVED 1 h:0", None),
        ("MOVED 1 ?:6381", None),
        ("MOVED", None),
        ("TRYAGAIN Multiple keys", None),
    ],
)
def test_where_a_node_sends_a_command(error: str, told: Redirect | None) -> None:
    """Slot and address, for once or for good; an odd one tells nothing."""
    assert redirect_of(error, "asked") == told


def test_a_probe_has_a_slot_that_is_owned() -> None:
    """Some number makes it so, however few slots a node has; not where the prefix fixes the slot."""
    assert slot_of(probe_name("p:", {77})) == 77
    assert probe_name("p:", {}) == b"p:{rl:ready0}"
    assert probe_name("{p}:", {77}) == b"{p}:{rl:ready0}"
