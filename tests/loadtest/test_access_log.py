import json
from itertools import pairwise
from pathlib import Path

from loadtest.access_log import DURATION_MS_MAX, OTHERS, START_MS, Traffic, printed, requests, write_csv, write_json


def test_a_log_is_written_as_requests_end(tmp_path: Path) -> None:
    """The same requests each time, as JSON and as CSV, none later than a request lasts."""
    traffic = Traffic(2_000, per_second=500)
    asked = list(requests(traffic))
    assert asked == list(requests(traffic))
    assert all(earlier.ms <= later.ms for earlier, later in pairwise(asked))
    write_json(tmp_path / "log", traffic)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    moments = [line["start_time"] for line in lines]
    assert sorted(moments) == [printed(each.ms) for each in asked]
    assert moments != sorted(moments)
    assert OTHERS.items() <= lines[0].items()
    assert all(line["duration"] < DURATION_MS_MAX for line in lines)
    write_csv(tmp_path / "csv", traffic)
    cells = [line.split(",") for line in (tmp_path / "csv").read_text().splitlines()[1:]]
    tiers = [f"{line['x-loyalty']}_request" if line["x-loyalty"] else "no_loyalty" for line in lines]
    assert [cell[2] for cell in cells] == tiers


def test_traffic_has_its_rate_and_its_users() -> None:
    """About as many a second, and few users ask most."""
    asked = list(requests(Traffic(5_000, per_second=100, users=50)))
    assert 40_000 < asked[-1].ms - START_MS < 60_000
    users = [each.user for each in asked]
    assert len(set(users)) == 50
    assert users.count("user-1") > 500
