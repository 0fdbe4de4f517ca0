from dataclasses import replace
from math import inf

import pytest

from ratelimit.quota.row import Row
from ratelimit.service.quota_acks import came_through_a_proxy, is_contradicted

# What the real Envoy 1.40 sends on its own stream, and what comes where another one forwards it.
DIRECT = [("x-envoy-internal", "true"), ("x-forwarded-for", "192.0.2.2")]
FORWARDED = [("x-forwarded-for", "192.0.2.2"), ("x-forwarded-proto", "http")]


def test_a_proxy_shows_in_the_head_of_a_stream() -> None:
    """Also where it makes no request ids."""
    assert not came_through_a_proxy(DIRECT)
    assert came_through_a_proxy(FORWARDED)


@pytest.mark.parametrize(
    ("allowed", "changes", "contradicted"),
    [
        (500, {}, False),
        (560, {}, False),
        (1000, {}, True),
        (1000, {"fresh": True}, False),
        (1000, {"pend": 3.0}, False),
        (1000, {"unknown": True}, False),
        (1000, {"silent": True}, False),
    ],
)
def test_more_than_was_given_contradicts_an_acknowledgement(
    allowed: int, changes: dict[str, float], contradicted: bool
) -> None:
    """Beyond what cannot be reckoned exactly, and where something was acknowledged at all."""
    row = Row("e", tokens=6000, burst=10, pend=inf, fresh=False, since=10.0)
    assert is_contradicted(replace(row, **changes), allowed, 15.0) is contradicted
