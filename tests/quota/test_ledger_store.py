"""The port to where replicas share a ledger."""

from ratelimit.quota.ledger_store import NOTHING, Commit


def test_a_commit_without_changes_asks() -> None:
    """It has neither rows nor a head, and may name the version of nothing."""
    ask = Commit(b"bucket", NOTHING)
    assert not ask.rows
    assert ask.head is None
