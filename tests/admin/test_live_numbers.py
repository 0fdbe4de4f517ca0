import json
from typing import Any

from ratelimit.admin.limit_rows import LimitRows
from ratelimit.admin.live_numbers import LiveNumbers, event, keys_event
from ratelimit.admin.loads import Loads
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.metrics import Metrics

CONFIG = load_config(
    [
        ConfigFile(
            "f",
            b"domain: d\ndescriptors: [{key: k, rate_limit: {unit: day, requests_per_unit: 2}}, "
            b"{key: u, detailed_metric: true, rate_limit: {unit: day, requests_per_unit: 2}}]",
        )
    ]
)


def events(pieces: Any) -> list[tuple[str, Any]]:
    """Name and value of each event."""
    found = []
    for text in filter(None, b"".join(pieces).decode().split("\n\n")):
        name, data = text.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def live(metrics: Metrics, loads: Loads | None = None) -> LiveNumbers:
    """Numbers of the configuration above."""
    numbers, rows = LiveNumbers(metrics, loads or Loads()), LimitRows(CONFIG, 3)
    for _ in rows.build():
        pass
    numbers.begin(rows)
    return numbers


def test_rows_are_told_when_they_change() -> None:
    """With their counts since the start; series that hold values are added up in the row of their limit."""
    metrics = Metrics()
    metrics.limit("d.k").total_hits = 5
    numbers = live(metrics)
    assert events(numbers.changes())[-1] == ("rows", {"tree": 3, "rows": [[1, 5, 0, 0, 0, 0, 0, 0]]})
    assert events(numbers.changes()) == []
    metrics.limit("d.u_ann", configured=False).total_hits += 2
    bob = metrics.limit("d.u_bob", configured=False)
    bob.total_hits, bob.over_limit = 1, 1
    metrics.limit("nobody.knows", configured=False).total_hits += 1
    assert events(numbers.changes()) == [("rows", {"tree": 3, "rows": [[2, 3, 1, 0, 0, 0, 0, 0]]})]
    bob.total_hits, bob.over_limit = 2, 2
    metrics.limit("d.u_ann", configured=False).total_negative_hits += 3
    assert events(numbers.changes()) == [("rows", {"tree": 3, "rows": [[2, 4, 2, 0, 0, 0, 0, 3]]})]


def test_a_page_that_opens_later_is_told_everything() -> None:
    """All loads, rows and unknown domains that were told before."""
    metrics, loads = Metrics(), Loads()
    loads.loaded(CONFIG)
    metrics.limit("d.k").total_hits = 5
    metrics.domain_not_found("<e>", 2)
    metrics.domain_not_found("f", 7)
    numbers = live(metrics, loads)
    told = events(numbers.changes())
    assert [name for name, _ in told] == ["loads", "rows", "unknown"]
    assert dict(told)["unknown"] == {"domains": [["f", 7], ["<e>", 2]]}
    assert dict(told)["loads"]["last"][0]["limits"] == 2
    assert sorted(events(numbers.known())) == sorted(told)


def test_before_a_configuration_there_are_no_rows() -> None:
    """And no error; another configuration begins anew."""
    metrics = Metrics()
    numbers = LiveNumbers(metrics, Loads())
    metrics.limit("d.k").total_hits = 5
    assert [name for name, _ in events(numbers.changes())] == ["loads"]
    assert json.loads(numbers.state(1.0, {}).split(b"data: ")[1])["tree"] == 0
    rows = LimitRows(CONFIG, 4)
    list(rows.build())
    numbers.begin(rows)
    known = numbers.known()
    next(known)
    assert events(numbers.changes())[0][1]["rows"] == [[1, 5, 0, 0, 0, 0, 0, 0]]
    numbers.begin(rows)
    assert events(known) == []


def test_the_state_has_every_number_that_is_there_once() -> None:
    """Beside calls, their seconds, and what else is known."""
    metrics = Metrics()
    metrics.should_rate_limit.observe(0.002, 3)
    metrics.store.breaker_open = 1
    ((name, value),) = events([live(metrics).state(12.3456, {"healthy": True})])
    assert (name, value["at"], value["tree"], value["healthy"]) == ("state", 12.346, 3, True)
    assert (sum(value["calls"]), value["seconds"]) == (3, 0.006)
    assert value["stats"]["ratelimit.store.breaker_open"] == 1


def test_no_text_begins_another_event() -> None:
    """Line ends and whatever else stands in a name stay within the JSON of theirs."""
    text = "a\n\nevent: state\rdata: {}\u2028\x00</script>"
    assert events([event("unknown", text)]) == [("unknown", text)]
    assert events([keys_event([])]) == [("keys", {"step": 1, "busiest": [], "over": []})]
