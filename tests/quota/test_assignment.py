"""What an Envoy is told."""

from ratelimit.quota.assignment import Assign


def test_an_assignment_without_tokens_denies() -> None:
    """Envoy takes no bucket of 0 tokens, so the server must see that it is one."""
    assert Assign(2, 0, 12).denies
    assert not Assign(2, 1, 12).denies
