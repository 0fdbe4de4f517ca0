import dataclasses
import re
from collections import Counter

from ratelimit.metrics import GrpcStats, HttpStats, LimitStats, Metrics, QuotaStats, StoreStats, WorkerStats
from ratelimit.metrics.declared import (
    DOMAIN_NOT_FOUND,
    GRPC,
    HTTP,
    LIMIT,
    PER_SECOND_STORE,
    PROCESS,
    QUOTA,
    RESPONSE_TIME,
    SINGLES,
    STORE,
    WORKERS,
    Stat,
)

ALL = (*SINGLES, *LIMIT, DOMAIN_NOT_FOUND, RESPONSE_TIME)


def fields(kind: type) -> set[str]:
    """What a dataclass of counters counts."""
    return {field.name for field in dataclasses.fields(kind)}


def sources(stats: tuple[Stat, ...]) -> set[str]:
    """What a table shows."""
    return {stat.source for stat in stats}


def test_every_counter_is_declared() -> None:
    """A counter without a row would be counted and never shown."""
    assert sources(LIMIT) == fields(LimitStats)
    assert sources(STORE) == sources(PER_SECOND_STORE) == fields(StoreStats)
    assert sources(HTTP) == fields(HttpStats)
    assert sources(GRPC) == fields(GrpcStats)
    assert sources(QUOTA) == fields(QuotaStats)
    assert sources(WORKERS) == fields(WorkerStats)
    own = {name for name, value in vars(Metrics()).items() if type(value) is int and not name.startswith("_")}
    assert sources(PROCESS) == own


def test_no_stat_is_declared_twice() -> None:
    """Neither under its own name, nor in Prometheus with the same labels."""
    assert max(Counter(stat.name for stat in ALL).values()) == 1
    assert max(Counter((stat.prometheus, *stat.labels.values()) for stat in ALL).values()) == 1


def test_rows_of_one_family_stand_together_and_agree() -> None:
    """A family is written once, with one HELP and one TYPE."""
    for family in {stat.prometheus for stat in ALL}:
        places = [place for place, stat in enumerate(ALL) if stat.prometheus == family]
        assert places == list(range(places[0], places[0] + len(places)))
        assert len({(ALL[place].help, ALL[place].kind) for place in places}) == 1


def test_names_are_well_formed() -> None:
    """As statsd and Prometheus want them."""
    for stat in ALL:
        assert re.fullmatch(r"[A-Za-z_.]+(\{\}\.[a-z_]+)?(=[a-z]+)?", stat.name)
        assert re.fullmatch("ratelimit_[a-z_]+(Count)?", stat.prometheus)
