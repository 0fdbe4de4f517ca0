"""What a ledger is made for."""

from ratelimit.quota.options import Tuning


def test_a_lease_outlives_one_missed_report() -> None:
    """Two reports and a moment; in whole seconds, since Envoy drops the rest."""
    tuning = Tuning()
    assert tuning.ttl_s >= 2 * tuning.report_s + 1
    assert isinstance(tuning.ttl_s, int)
