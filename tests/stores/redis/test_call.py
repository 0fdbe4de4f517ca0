from typing import Any

import hiredis

from ratelimit.limiter.counter_store import Batch, Results
from ratelimit.stores.redis.call import ScriptCall
from ratelimit.stores.redis.commands import ADD_HITS, results_of
from tests.limiter.plans import NOW, hit
from tests.stores.redis.fakes import FakePipeline

NOSCRIPT = hiredis.ReplyError("NOSCRIPT No matching script")


class Sender:
    """Makes results of replies, but keeps the calls that are answered with `kept`."""

    def __init__(self) -> None:
        self.kept: list[ScriptCall] = []

    def settle(self, call: ScriptCall, reply: Any) -> Results | None:
        """As a node does."""
        if reply == "keep":
            self.kept.append(call)
            return None
        return results_of(reply, call.hits, NOW)


def call(pipeline: Any, told: list[Results], sender: Sender | None = None) -> ScriptCall:
    """A call of one hit with the deadline 7."""
    hits = [hit(b"k")]
    return ScriptCall(sender or Sender(), pipeline, (ADD_HITS, hits), Batch(hits, NOW, 7.0), told.append)


def test_an_unknown_script_is_sent_whole_once() -> None:
    """NOSCRIPT is answered before anything runs: EVAL follows with the same deadline, and no third."""
    pipeline, told = FakePipeline(), list[Results]()
    call(pipeline, told).send()
    assert pipeline.answer(NOSCRIPT)[0] == b"EVALSHA"
    assert pipeline.sent[0][1] == 7.0
    assert pipeline.answer(NOSCRIPT)[:2] == (b"EVAL", ADD_HITS.text)
    assert "NOSCRIPT" in str(told[0][0])


def test_a_connection_that_takes_no_more_has_no_second_try() -> None:
    """The refusal is the result then."""
    pipeline, told = FakePipeline(), list[Results]()
    call(pipeline, told).send()
    pipeline.writable = False
    pipeline.answer(NOSCRIPT)
    assert "NOSCRIPT" in str(told[0][0])


def test_a_kept_call_is_told_later_or_sent_elsewhere() -> None:
    """Whoever keeps it tells its results, or sends it on another connection."""
    first, second, told, sender = FakePipeline(), FakePipeline(), list[Results](), Sender()
    kept = call(first, told, sender)
    kept.send()
    first.answer("keep")
    assert (told, sender.kept, kept.tries) == ([], [kept], 1)
    kept.send_again(sender, second)
    second.answer("keep")
    kept.finish([])
    assert (told, kept.tries) == ([[]], 2)
