from typing import Any

import hiredis
import pytest

from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_store import Hit, Results
from ratelimit.stores.redis.commands import (
    ADD_HITS,
    CHARGE_GROUPS,
    HITS_PER_COMMAND_MAX,
    SCRIPTS,
    BatchResults,
    commands_of,
    packed,
    refusal,
    results_of,
)
from tests.limiter.plans import NOW, hit


def test_a_small_batch_is_one_command() -> None:
    """Its arguments are the number of keys, the keys, and amount and expiry of each."""
    ((script, hits),) = commands_of([hit(b"a", 2, expire_s=50), hit(b"b")])
    assert script is ADD_HITS
    assert script.arguments(hits) == [b"2", b"a", b"b", b"2", b"50", b"1", b"60"]


def test_a_large_batch_is_cut() -> None:
    """No command stops the server for more hits than the bound; the order stays."""
    hits = [hit(b"%d" % n) for n in range(2 * HITS_PER_COMMAND_MAX + 1)]
    commands = commands_of(hits)
    assert [len(part) for _, part in commands] == [HITS_PER_COMMAND_MAX, HITS_PER_COMMAND_MAX, 1]
    assert [each for _, part in commands for each in part] == hits


def test_groups_are_never_cut() -> None:
    """They go to a script of their own, whole, and keep their place between the others."""
    big = [hit(b"%d" % n, group=7) for n in range(HITS_PER_COMMAND_MAX - 1)]
    hits = [hit(b"a"), *big, hit(b"b", group=8), hit(b"c", group=8), hit(b"d")]
    commands = commands_of(hits)
    assert [(script, len(part)) for script, part in commands] == [
        (ADD_HITS, 1),
        (CHARGE_GROUPS, HITS_PER_COMMAND_MAX - 1),
        (CHARGE_GROUPS, 2),
        (ADD_HITS, 1),
    ]
    assert CHARGE_GROUPS.arguments([hits[-2]]) == [b"1", b"c", b"1", b"60", b"10", b"8", b"1"]


def test_each_hit_has_its_result() -> None:
    """A count is judged, a pair is believed, an error inside a reply is of a hit that did nothing."""
    wrong = hiredis.ReplyError("WRONGTYPE Operation against a key of the wrong kind")
    hits: list[Hit] = [hit(b"a", limit=3), hit(b"b", limit=3), hit(b"c")]
    count, pair, failed = results_of([4, [2, 1], wrong], hits, NOW)
    assert isinstance(count, Counted)
    assert isinstance(pair, Counted)
    assert (count.allowed, pair.allowed, pair.remaining) == (False, True, 1)
    assert isinstance(failed, StoreError)
    assert (failed.reason, failed.outcome_unknown) == ("the store refused: WRONGTYPE", False)


@pytest.mark.parametrize(
    ("reply", "unknown"),
    [
        (hiredis.ReplyError("READONLY You can't write against a read only replica."), False),
        (hiredis.ReplyError("MOVED 1 10.0.0.9:6379"), False),
        (hiredis.ReplyError("ERR of 10.0.0.9:6379"), True),
        ([1], True),
        ("text", True),
    ],
)
def test_what_is_no_result_fails_every_hit(reply: object, unknown: bool) -> None:
    """A refusal, or a reply of another shape; no address of the server reaches a caller."""
    for result in results_of(reply, [hit(b"a"), hit(b"b")], NOW):
        assert isinstance(result, StoreError)
        assert result.outcome_unknown is unknown
        assert "10.0.0.9" not in result.reason


@pytest.mark.parametrize("reply", [None, "10.0.0.9", [1], [1, 2, 3, 4], [None, 1], [[], []]])
def test_an_odd_reply_fails_its_hit_alone(reply: object) -> None:
    """Whatever a proxy in between makes of a result, its neighbour keeps its own, and every hit has one."""
    odd, counted = results_of([reply, 1], [hit(b"a"), hit(b"b")], NOW)
    assert isinstance(odd, StoreError)
    assert (odd.outcome_unknown, "10.0.0.9" in odd.reason) == (True, False)
    assert isinstance(counted, Counted)


def test_a_refusal_is_the_servers_own_word() -> None:
    """Its first word, no more."""
    assert refusal(hiredis.ReplyError("NOPERM User app has no permissions")).reason == "the store refused: NOPERM"


def test_a_batch_is_answered_once_and_in_order() -> None:
    """Whichever command is answered first."""
    told: list[Results] = []
    answers = BatchResults(2, told.append)
    first, second = Counted(1, True, 1, 1), StoreError("late")
    answers.put(1, [second])
    assert told == []
    answers.put(0, [first])
    assert told == [[first, second]]


@pytest.mark.parametrize("size", [1, 2, 20])
def test_what_is_made_by_hand_is_what_hiredis_makes(size: int) -> None:
    """Byte for byte, for any names and numbers, and for the other scripts too."""
    hits = [hit(b"\r\n" * number, number - 3, expire_s=10**number) for number in range(size)]
    for script in SCRIPTS:
        command: tuple[Any, ...] = (b"EVALSHA", script.sha, *script.arguments(hits))
        assert packed(script, hits) == hiredis.pack_command(command)
