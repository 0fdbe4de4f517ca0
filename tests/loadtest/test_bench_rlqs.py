import dataclasses

import pytest

from loadtest.bench_rlqs import Found, backends_of, in_time, lines, main, passes, quota_config
from loadtest.measuring import Sample
from loadtest.quota_client import DOMAIN, KEY, Lap
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.quota.options import AckMode
from ratelimit.service.rlqs.limits import Divided, find

LAP = Lap(600, 0, 60.0, 90.0, 120.0, 700_000, 0.2)


def sample(rate: float) -> Sample:
    """A measurement."""
    return Sample(rate, 10.0, 1.0, 2.0, 0.99)


FOUND = Found(LAP, 0.4, 250.0, [sample(100.0)] * 3, [sample(75.0)] * 3, LAP, 35.0)


def test_what_is_asked_stands_beside_what_was_found() -> None:
    """In each row; nothing is missed here."""
    found = lines("memory", FOUND)
    assert any("120 ms" in line and "≤ 200 ms" in line for line in found)
    assert any("0.75" in line and "≥ 0.7" in line for line in found)
    assert passes(FOUND)


@pytest.mark.parametrize(
    "found",
    [
        dataclasses.replace(FOUND, cpu_part=0.51),
        dataclasses.replace(FOUND, rss_mb=301.0),
        dataclasses.replace(FOUND, beside=[sample(69.0)] * 3),
        dataclasses.replace(FOUND, lap=dataclasses.replace(LAP, late=1)),
        dataclasses.replace(FOUND, lap=dataclasses.replace(LAP, max_ms=201.0)),
        dataclasses.replace(FOUND, lap=dataclasses.replace(LAP, reports=0)),
    ],
)
def test_whatever_is_missed_is_told(found: Found) -> None:
    """In one row."""
    assert sum(line.endswith("MISSED") for line in lines("redis", found)) == 1
    assert not passes(found)
    assert in_time(LAP)


def test_each_bucket_has_a_ledger_of_its_own() -> None:
    """Whatever its value is."""
    config = load_config([ConfigFile("f.yaml", quota_config(100).encode())])
    one, other = (find(config, DOMAIN, {KEY: value}, AckMode.PING) for value in ("b0", "b1"))
    assert isinstance(one, Divided)
    assert isinstance(other, Divided)
    assert one.key != other.key
    assert one.options.envoys_expected == 100


def test_ledgers_are_where_they_can_be() -> None:
    """Or it is told where."""
    assert backends_of("redis,memory") == ["redis", "memory"]
    with pytest.raises(ValueError, match="BACKENDS: x is not one of memory, redis"):
        backends_of("memory,x")


async def test_a_wrong_size_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the variable, before anything is started."""
    monkeypatch.setenv("BUCKETS", "none")
    with pytest.raises(SystemExit, match="bench-rlqs: BUCKETS"):
        await main()
