from loadtest.cases import TARGETS
from loadtest.measuring import Sample
from loadtest.results import HEADS, Results, columns, rows, verdicts, word

MACHINE = {"cores": "2"}


def sample(rate: float, cpu_us: float = 5.0) -> Sample:
    """One that differs in what the tests look at."""
    return Sample(rate, cpu_us, p50_ms=1.0, p99_ms=2.0, server_busy=0.9)


def results() -> Results:
    """Two cases, two servers that were measured, one that failed."""
    found = Results(MACHINE, rss_mb={"ours": 70.4, "peer": 36.0})
    found.samples["envoy", "ours"] = [sample(900, 4)]
    found.samples["1x1", "ours"] = [sample(1300), sample(3000), sample(1000)]
    found.samples["1x1", "peer"] = [sample(1000, 50)]
    found.samples["over", "ours"] = [sample(1000, 3)]
    found.failures["1x1", "proof"] = ["GOAWAY with code 11", "silent\nfor 10 s"]
    return found


def test_rows_are_in_the_order_of_the_cases() -> None:
    """Medians with their spread, ratios where both are there, and what failed."""
    found = [dict(zip(HEADS, row, strict=True)) for row in rows(results())]
    assert [(row["case"], row["server"], row["req/s"]) for row in found] == [
        ("1x1", "ours", "1,300"),
        ("1x1", "peer", "1,000"),
        ("1x1", "proof", "failed"),
        ("envoy", "ours", "900"),
        ("over", "ours", "1,000"),
    ]
    assert found[0] | {"spread": "1,000 to 3,000", "× peer": "1.30", "CPU × peer": "0.100", "client": ""} == found[0]
    assert found[3]["× peer"] == ""


def test_verdicts_are_reached_missed_or_not_measured() -> None:
    """A target whose other side is not there is neither reached nor missed."""
    found = {f"{target.case} {target.measure}": word(target, ratio) for target, ratio in verdicts(results())}
    assert len(found) < len(TARGETS) == len(verdicts(results()))
    assert (found["1x1 rate"], found["over cpu_us"], found["open p50_ms"]) == ("reached", "reached", "not measured")
    slow = results()
    slow.samples["1x1", "ours"] = [sample(1299)]
    assert word(*verdicts(slow)[0]) == "MISSED"


def test_columns_line_up() -> None:
    """Names to the left, numbers to the right."""
    assert columns(("a", "b", "c"), [("long", "x", "1"), ("s", "y", "100")]).splitlines() == [
        "a     b    c",
        "long  x    1",
        "s     y  100",
    ]


def test_ratios_are_of_rounds() -> None:
    """A machine that is slow for a while slows both of a round; without as many rounds, medians are compared."""
    found = Results(MACHINE)
    found.samples["1x1", "ours"] = [sample(100), sample(10), sample(1000)]
    found.samples["1x1", "peer"] = [sample(50), sample(5), sample(2000)]
    assert found.ratio("rate", ("1x1", "ours"), ("1x1", "peer")) == 2
    found.samples["1x1", "peer"] = [sample(50), sample(10)]
    assert found.ratio("rate", ("1x1", "ours"), ("1x1", "peer")) == 100 / 30
    assert found.ratio("rate", ("1x1", "ours"), ("1x1", "proof")) is None
