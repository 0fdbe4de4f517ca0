import dataclasses
import json

from ratelimit.metrics import Metrics, Snapshot


def test_it_is_a_plain_value() -> None:
    """It can go to another process, and to anybody, as JSON."""
    metrics = Metrics()
    metrics.limit("d.k").total_hits += 3
    fields = json.loads(json.dumps(dataclasses.asdict(metrics.snapshot())))
    assert fields["configured"] == {"d.k": [3, 0, 0, 0, 0, 0, 0]}
    assert Snapshot(**fields).domains_not_found == {}
