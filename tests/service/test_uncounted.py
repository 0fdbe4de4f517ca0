from typing import Any

import pytest
import structlog

from ratelimit.errors import RpcError, StoreError
from ratelimit.service.uncounted import OVER_S
from ratelimit.transport.awaited_call import AwaitedCall
from tests.service.messages_of import RecordedCall, descriptor, request
from tests.service.test_rate_limit import ASK, Bench

TWO = request(descriptor(("k", "v")), descriptor(("s", "v")), descriptor(("none", "v")))
OK, OVER_LIMIT = 1, 2


def bench(choice: str, *, down: bool = True, **options: Any) -> Bench:
    """A service whose store is down, with a limit and one in shadow mode."""
    made = Bench(**options)
    limit = "rate_limit: {unit: minute, requests_per_unit: 2}"
    descriptors = f"[{{key: k, {limit}}}, {{key: s, shadow_mode: true, {limit}}}]"
    made.load(f"domain: d\non_store_error: {choice}\ndescriptors: {descriptors}".encode())
    made.store.error = StoreError("down") if down else None
    return made


def told(call: RecordedCall) -> tuple[int, list[tuple[int, int]]]:
    """The overall code, and code and remaining of each status."""
    assert call.response is not None
    statuses = call.response.statuses
    return call.response.overall_code, [(status.code, status.limit_remaining) for status in statuses]


@pytest.mark.parametrize("response", [{}, {"limit_response_headers_enabled": True}])
def test_a_domain_may_be_let_pass_or_refused(response: dict[str, bool]) -> None:
    """By every way an answer is written: as if nothing was used, or all; a limit in shadow mode never denies."""
    allowing, denying = bench("allow", **response), bench("deny", **response)
    assert told(allowing.ask()) == (OK, [(OK, 2)])
    assert told(allowing.ask(TWO)) == (OK, [(OK, 2), (OK, 2), (OK, 0)])
    assert told(denying.ask()) == (OVER_LIMIT, [(OVER_LIMIT, 0)])
    assert told(denying.ask(TWO)) == (OVER_LIMIT, [(OVER_LIMIT, 0), (OK, 0), (OK, 0)])
    assert (allowing.metrics.store_error_allowed, allowing.metrics.store_error_denied) == (2, 0)
    assert (denying.metrics.store_error_allowed, denying.metrics.store_error_denied) == (0, 2)
    assert allowing.metrics.redis_error == denying.metrics.redis_error == 0


def test_global_shadow_mode_lets_a_denied_call_pass() -> None:
    """As it does any other."""
    shadowed = bench("deny", shadow_mode=True)
    assert told(shadowed.ask())[0] == OK
    assert shadowed.metrics.global_shadow_mode == 1


async def test_who_wants_only_what_was_counted_gets_an_error() -> None:
    """Whatever the domain says of a store that is away."""
    for choice in ("allow", "deny", "error"):
        made = bench(choice)
        for counted in (False, True):
            call = AwaitedCall(counted=counted)
            made.service.should_rate_limit([call], [ASK])
            made.loop.run()
            if counted or choice == "error":
                with pytest.raises(RpcError, match="down"):
                    await call.answer()
            else:
                assert await call.answer()


def test_the_default_is_an_error() -> None:
    """Also written out."""
    assert bench("error").ask().error is not None


@pytest.mark.parametrize(("choice", "code"), [("allow", OK), ("deny", OVER_LIMIT)])
def test_what_finds_no_room_is_answered_alike(choice: str, code: int) -> None:
    """PENDING_HITS_MAX: nothing was sent, and the domain has its say."""
    full = bench(choice, down=False)
    full.service._limiter.pending = 10**9
    assert told(full.ask())[0] == code


def test_a_fault_of_an_answer_without_room_ends_that_call_alone() -> None:
    """The others are told."""
    full = bench("allow", down=False)
    full.service._limiter.pending = 10**9
    calls = [RecordedCall(), RecordedCall()]
    calls[0].reply = lambda _: 1 / 0  # type: ignore[assignment, method-assign]
    with structlog.testing.capture_logs():
        full.service.should_rate_limit(calls, [ASK, ASK])
        full.loop.run()
    assert [call.error is None for call in calls] == [False, True]


def test_each_change_of_state_is_one_line() -> None:
    """One when it begins, one when all was counted for a while; no line for a call."""
    flapping = bench("deny")
    with structlog.testing.capture_logs() as logs:
        flapping.ask_all(ASK, ASK, ASK)
        flapping.store.error = None
        flapping.ask()
        flapping.clock.advance(OVER_S)
        flapping.ask_all(ASK, ASK)
    assert [(each["event"], each["domain"]) for each in logs] == [
        ("calls are answered without being counted", "d"),
        ("calls are counted again", "d"),
    ]
    assert logs[0]["on_store_error"] == "deny"
