import asyncio
from dataclasses import replace
from typing import Any

import grpc
import pytest

from ratelimit.quota.assignment import Abandon, Assign, Probe, Push
from ratelimit.quota.ledger import Ledger
from ratelimit.quota.options import AckMode
from ratelimit.service.rlqs import stream as stream_module
from ratelimit.service.rlqs.ledgers import Ledgers
from ratelimit.service.rlqs.messages import bucket_of
from ratelimit.service.rlqs.rate_limit_quota import RateLimitQuotaService
from ratelimit.service.rlqs.stream import QuotaStream
from tests.service.rlqs.streams import PROD, Envoy, PingedEnvoy, ledger_of, listener_of, quota_service, report, until

BUCKET = bucket_of({"name": "prod"})


def rows_of(service: RateLimitQuotaService) -> dict[str, Any]:
    """Its rows."""
    ledger: Any = ledger_of(service).ledger
    return dict(ledger.rows)


async def test_a_report_is_answered_with_an_assignment() -> None:
    """And what the Envoy has read is acknowledged: the ledger holds nothing more than that."""
    service, stats = quota_service()
    envoy = PingedEnvoy(service)
    told = await envoy.told(report(PROD))
    assert told.quota_assignment_action.rate_limit_strategy.token_bucket.tokens_per_fill.value > 0
    await until(lambda: stats.acks)
    (row,) = rows_of(service).values()
    assert (row.hold, row.pend) == (row.rate, float("inf"))
    assert ledger_of(service).ledger.options.ack is AckMode.PING
    await envoy.end()
    assert (stats.streams_active, stats.rows, stats.reports, stats.usages) == (0, 0, 1, 1)
    service.close()


async def test_the_domain_may_be_told_once_or_in_each_report() -> None:
    """Both are Envoys; none, or another one, is not."""
    service, stats = quota_service()
    for first, later, reason in (("d", "", ""), ("d", "d", ""), ("", "", "names no domain"), ("d", "e", "changed")):
        envoy = PingedEnvoy(service)
        envoy.send(report(PROD, domain=first))
        envoy.send(report(PROD, domain=later))
        envoy.send(b"\xff")
        await envoy.over()
        assert envoy.aborted is not None
        assert (reason or "garbled") in envoy.aborted[1]
    assert (stats.streams_broken, stats.reports) == (4, 5)
    service.close()


@pytest.mark.parametrize(
    ("usage", "domain", "answer"),
    [
        (("name", "free", 1, 0), "d", "allow"),
        (("name", "none", 1, 0), "d", "deny"),
        (("name", "other", 1, 0), "d", "deny"),
        (("name", "prod", 1, 0), "e", "abandon"),
    ],
)
async def test_what_no_ledger_divides_is_told_its_rule(
    usage: tuple[str, str, int, int], domain: str, answer: str
) -> None:
    """Of the limit, or of the settings for what is not known; not with every report."""
    service, stats = quota_service(rlqs_unknown_bucket="deny", rlqs_unknown_domain="abandon")
    envoy = Envoy(service)
    told = await envoy.told(report(usage, domain=domain))
    if answer == "abandon":
        assert told.WhichOneof("bucket_action") == "abandon_action"
    else:
        assert told.quota_assignment_action.rate_limit_strategy.blanket_rule == (answer == "deny")
    envoy.send(report(usage, domain=domain))
    await until(lambda: stats.reports == 2)
    await envoy.end()
    assert envoy.written == []
    assert (stats.unknown_domains, stats.unknown_buckets) == (domain == "e", usage[1] == "other")
    service.close()


async def test_an_idle_bucket_without_a_ledger_is_abandoned() -> None:
    """After two reports of nothing; Envoy would keep it for ever."""
    service, _ = quota_service()
    envoy = Envoy(service)
    await envoy.told(report(("name", "free", 1, 0)))
    envoy.send(report(("name", "free", 0, 0)))
    told = await envoy.told(report(("name", "free", 0, 0)))
    assert told.WhichOneof("bucket_action") == "abandon_action"
    told = await envoy.told(report(("name", "free", 1, 0)))
    assert told.WhichOneof("bucket_action") == "quota_assignment_action"
    await envoy.end()
    service.close()


async def test_the_last_word_on_a_bucket_is_what_is_sent() -> None:
    """A question alone says nothing, and one behind an assignment is asked with it; an abandoned one is forgotten."""
    service, stats = quota_service()
    envoy = PingedEnvoy(service)
    await envoy.told(report(PROD))
    row, listener = listener_of(service)
    before = stats.pushes
    listener.push(Push(row, 7, Probe()))
    await until(lambda: not listener.stream._outbox)
    assert stats.pushes == before
    listener.push(Push(row, 8, Assign(1, 1, 12)))
    listener.push(Push(row, 8, Probe()))
    listener.push(Push(row, 9, Assign(1, 2, 12)))
    told = await envoy.told()
    assert told.quota_assignment_action.rate_limit_strategy.token_bucket.tokens_per_fill.value == 2
    listener.push(Push(row, 10, Abandon()))
    assert (await envoy.told()).WhichOneof("bucket_action") == "abandon_action"
    assert stats.rows == 0
    await envoy.end()
    service.close()


async def test_a_report_that_changes_nothing_waits_for_no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer is there when the report has been taken; the ledger ticks when it has something to decide."""
    service, stats = quota_service()
    envoy = PingedEnvoy(service)
    await envoy.told(report(PROD))
    await until(lambda: stats.acks == 1)
    ledger: Any = ledger_of(service).ledger
    await until(lambda: ledger.rows[next(iter(ledger.rows))].pend == float("inf"))
    ledger.head.next_plan_s, ledger.head.learn_until_s = float("inf"), float("-inf")
    monkeypatch.setattr(Ledger, "tick", lambda *_: [])  # it says nothing any more
    told = await envoy.told(report(("name", "prod", 400, 0), elapsed_s=5))
    assert told.quota_assignment_action.rate_limit_strategy.token_bucket.tokens_per_fill.value > 0
    service.close()
    await envoy.end()


async def test_what_ledgers_say_waits_for_more_but_no_answer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """With many buckets: what was said meanwhile goes with the answer to the next report."""
    monkeypatch.setattr(stream_module, "BUCKETS_PER_S", 1e-9)
    monkeypatch.setattr(stream_module, "WRITE_EVERY_S", 3600.0)
    service, stats = quota_service()
    envoy = PingedEnvoy(service)
    await envoy.told(report(PROD))
    row, listener = listener_of(service)
    listener.push(Push(row, 8, Assign(1, 1, 12)))
    await asyncio.sleep(0.01)
    assert (len(envoy.written), stats.pushes) == (0, 1)
    envoy.send(report(("name", "free", 1, 0)))
    await until(lambda: len(envoy.written) == 2)
    assert stats.pushes == 3
    await envoy.end()
    service.close()


async def test_a_long_answer_is_several_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other."""
    monkeypatch.setattr(stream_module, "ACTIONS_AT_ONCE", 1)
    service, stats = quota_service()
    envoy = PingedEnvoy(service)
    envoy.send(report(("name", "free", 1, 0), ("name", "none", 1, 0), ("name", "other", 1, 0)))
    await until(lambda: len(envoy.written) == 3)
    assert stats.reports == 1
    await envoy.end()
    service.close()


async def test_what_is_renewed_is_not_asked_about() -> None:
    """But once in a while, whether the Envoy reads; a question that comes while a renewal waits is asked with it."""
    service, stats = quota_service()
    envoy = PingedEnvoy(service)
    await envoy.told(report(PROD))
    await until(lambda: stats.acks == 1)
    row, listener = listener_of(service)
    stream = listener.stream
    renewed = Push(row, 8, Assign(1, 1, 12), asks=False)
    envoy.answers = False
    listener.push(renewed)
    await envoy.told()
    assert envoy._readers == []
    stream._asked_s -= stream_module.ASK_EVERY_S
    listener.push(renewed)
    await until(lambda: envoy._readers)
    envoy.answer()
    await envoy.told()
    listener.push(renewed)
    listener.push(Push(row, 8, Probe()))
    await until(lambda: envoy._readers)
    envoy.answer()
    await until(lambda: stats.acks == 2)
    stream._outbox.repeat(BUCKET, b"rule")
    listener.push(Push(row, 8, Probe()))
    assert stream._outbox.parts.pop(BUCKET) == b"rule"
    await envoy.end()
    service.close()


async def test_a_named_envoy_is_known_again() -> None:
    """On a new stream, whether or not the old one was seen to end; its class weighs."""
    service, _ = quota_service(rlqs_envoy_metadata="x-envoy", rlqs_class_metadata="x-class")
    metadata = {"x-envoy": "one", "x-class": "edge"}
    first, second = PingedEnvoy(service, metadata), PingedEnvoy(service, metadata)
    await first.told(report(PROD))
    await second.told(report(("name", "prod", 500, 0), elapsed_s=5))
    assert list(rows_of(service)) == ["one"]
    await first.end()
    row = rows_of(service)["one"]
    assert (row.gone, row.weight) == (False, 2.0)
    await second.end()
    assert rows_of(service)["one"].gone
    service.close()


async def test_two_envoys_with_one_name_are_two() -> None:
    """As soon as the first says something on its stream again."""
    service, _ = quota_service(rlqs_envoy_metadata="x-envoy")
    first, second = PingedEnvoy(service, {"x-envoy": "one"}), PingedEnvoy(service, {"x-envoy": "one"})
    await first.told(report(PROD))
    await second.told(report(PROD))
    await first.told(report(("name", "prod", 5, 0), elapsed_s=5))
    assert sorted(name[0] for name in rows_of(service)) == ["o", "~"]
    await first.end()
    await second.end()
    service.close()


async def test_a_name_without_room_is_told_a_rule() -> None:
    """It has lost its row with its name, and the domain has no other."""
    service, _ = quota_service(rlqs_envoy_metadata="x-envoy", rlqs_domain_rows_max=2)
    first, second = PingedEnvoy(service, {"x-envoy": "one"}), PingedEnvoy(service, {"x-envoy": "one"})
    await first.told(report(PROD))
    await second.told(report(PROD))
    service._shared.rows["d"] += 1
    told = await first.told(report(("name", "prod", 5, 0), elapsed_s=5))
    assert told.quota_assignment_action.rate_limit_strategy.blanket_rule == 0
    service._shared.rows["d"] -= 1
    await first.end()
    await second.end()
    service.close()


@pytest.mark.parametrize("name", ["~mine", "%HOSTNAME%", "x" * 300])
async def test_a_name_that_cannot_be_one_is_none(name: str) -> None:
    """Ours begin with a tilde; Envoy does not expand its commands on this stream."""
    service, _ = quota_service(rlqs_envoy_metadata="x-envoy")
    envoy = PingedEnvoy(service, {"x-envoy": name})
    await envoy.told(report(PROD))
    assert name not in rows_of(service)
    await envoy.end()
    service.close()


async def test_behind_a_proxy_reports_acknowledge() -> None:
    """What it answers to a PING says nothing of the Envoy; told once, however many streams there are."""
    service, stats = quota_service()
    envoy = PingedEnvoy(service, {"x-forwarded-proto": "http"})
    await envoy.told(report(PROD))
    await until(lambda: not envoy._readers)
    (row,) = rows_of(service).values()
    assert (stats.ack_fallbacks, stats.acks) == (1, 0)
    assert row.pend < float("inf")
    _, binding = listener_of(service)
    binding.pushed_s -= 5  # as if it had been told long ago
    envoy.send(report(("name", "prod", 1, 0), elapsed_s=5))
    await until(lambda: stats.reports == 2)
    assert row.hold == row.rate
    await envoy.end()
    service.close()


@pytest.mark.parametrize(("setting", "kind"), [("report", PingedEnvoy), ("ping", Envoy)])
async def test_ledgers_are_told_who_acknowledges(setting: str, kind: type[Envoy]) -> None:
    """As the setting says, and reports where the transport cannot tell."""
    service, stats = quota_service(rlqs_ack=setting)
    envoy = kind(service)
    await envoy.told(report(PROD))
    assert ledger_of(service).ledger.options.ack is AckMode.REPORT
    await envoy.end()
    assert stats.acks == 0
    service.close()


async def test_an_envoy_that_does_not_read_is_cut_off() -> None:
    """Where what it is told cannot be written, where it never says that it has read, and not where it does."""
    service, stats = quota_service(rlqs_write_timeout="20ms")
    deaf = Envoy(service)
    deaf.reads = False
    deaf.send(report(PROD))
    await deaf.over()
    silent = PingedEnvoy(service)
    silent.answers = False
    await silent.told(report(PROD))
    await asyncio.sleep(0.03)  # longer than it may wait
    silent.send(report(PROD))
    await silent.over()
    for envoy in (deaf, silent):
        assert envoy.aborted == (grpc.StatusCode.UNAVAILABLE, "the Envoy does not read what it is told")
    assert (stats.streams_stalled, stats.streams_broken) == (2, 2)
    service.close()


async def test_what_is_not_known_to_be_read_is_not_acknowledged() -> None:
    """The transport could not tell, or the stream has ended meanwhile."""
    service, stats = quota_service()
    envoy = PingedEnvoy(service)
    envoy.answers = False
    await envoy.told(report(PROD))
    envoy.refuse()
    await envoy.told(report(PROD, ("name", "free", 1, 0)))
    await until(lambda: envoy._readers)
    await envoy.end()
    envoy.answer()
    await asyncio.sleep(0)
    assert stats.acks == 0
    service.close()


async def test_a_stream_is_read_no_faster_than_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes meanwhile waits; it is counted, and absurd numbers are too."""
    monkeypatch.setattr(stream_module, "USAGES_AT_ONCE", 1)
    service, stats = quota_service(rlqs_usages_per_second=2)
    envoy = Envoy(service)
    envoy.send(report(("name", "free", 2**62, 0), ("name", "none", 1, 0), ("", "", 1, 0)))
    await until(lambda: stats.throttled)
    assert (stats.usages, stats.usages_absurd, stats.usages_broken) == (3, 1, 0)
    await envoy.end()
    service.close()


async def test_usages_without_a_bucket_are_counted() -> None:
    """And nothing is told of them."""
    service, stats = quota_service()
    envoy = Envoy(service)
    envoy.send(report(*(("k" * 257, "v", 1, 0) for _ in range(3))))
    await until(lambda: stats.usages_broken == 3)
    await envoy.end()
    assert envoy.written == []
    service.close()


async def test_before_the_first_configuration_nothing_is_told() -> None:
    """An Envoy keeps what it has, and asks again."""
    service, stats = quota_service(config="")
    envoy = Envoy(service)
    envoy.send(report(PROD))
    await until(lambda: stats.reports)
    await envoy.end()
    assert envoy.written == []
    assert replace(stats).usages == 1
    service.close()


async def test_one_report_is_taken_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece in each turn of the loop; the next one waits, which its ledgers are told."""
    monkeypatch.setattr(stream_module, "USAGES_AT_ONCE", 1)
    monkeypatch.setattr(stream_module, "SLICE_S", -1.0)
    service, _ = quota_service()
    first, second = Envoy(service), Envoy(service)
    taken: list[int] = []
    taking, waits = QuotaStream._take_some, Ledgers.waited
    waited: list[float] = []

    def wait(ledgers: Ledgers, waited_s: float) -> None:
        waited.append(waited_s)
        waits(ledgers, waited_s)

    def take(stream: QuotaStream, *some: Any) -> None:
        taken.append(id(stream))
        taking(stream, *some)

    monkeypatch.setattr(Ledgers, "waited", wait)
    monkeypatch.setattr(QuotaStream, "_take_some", take)
    many = report(*(("user", f"u{number}", 1, 0) for number in range(3)))
    first.send(many)
    second.send(many)
    await until(lambda: len(taken) == 6)
    assert (len(set(taken[:3])), len(set(taken[3:]))) == (1, 1)
    assert waited[0] <= waited[1]
    await first.end()
    await second.end()
    service.close()
