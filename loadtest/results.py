"""What the rounds came to: medians, their spread, ratios, and what was reached."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loadtest.cases import CASES, TARGETS, Measure, Target
from loadtest.measuring import Sample
from loadtest.servers import OURS, PEER, PROOF


@dataclass(slots=True)
class Results:
    """All samples of a run by (case, server); why measurements failed; memory at the end."""

    machine: Mapping[str, str]
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    failures: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    rss_mb: dict[str, float] = field(default_factory=dict)

    def median(self, case: str, server: str, measure: str) -> float | None:
        """The median over the rounds; None where there is none."""
        found = [getattr(sample, measure) for sample in self.samples.get((case, server), ())]
        return statistics.median(found) if found and None not in found else None

    def spread(self, case: str, server: str, measure: str) -> tuple[float, float]:
        """The least and the most over the rounds."""
        found = [getattr(sample, measure) for sample in self.samples[case, server]]
        return min(found), max(found)

    def ratio(self, measure: Measure, ours: tuple[str, str], other: tuple[str, str]) -> float | None:
        """One pair by another: the median of the rounds' ratios, since what is close in time is alike.

        Where a measurement failed, the rounds of the two do not fit any more; then one median by the other.
        """
        upper = [getattr(sample, measure) for sample in self.samples.get(ours, ())]
        lower = [getattr(sample, measure) for sample in self.samples.get(other, ())]
        if not upper or not lower or not all(lower):
            return None
        if len(upper) != len(lower):
            return float(statistics.median(upper) / statistics.median(lower))
        return statistics.median(one / another for one, another in zip(upper, lower, strict=True))


def verdicts(results: Results) -> list[tuple[Target, float | None]]:
    """Each target with the ratio that it asks for; None where it was not measured."""
    return [
        (target, results.ratio(target.measure, (target.case, OURS), (target.other_case or target.case, target.server)))
        for target in TARGETS
    ]


def word(target: Target, ratio: float | None) -> str:
    """Reached, missed, or not measured."""
    if ratio is None:
        return "not measured"
    return "reached" if target.reached(ratio) else "MISSED"


HEADS = (
    "case",
    "server",
    "req/s",
    "spread",
    "CPU µs",
    "p50 ms",
    "p99 ms",
    "busy",
    "client",
    "× peer",
    "CPU × peer",
    "CPU × proof",
)


def rows(results: Results) -> list[tuple[str, ...]]:
    """The table under HEADS, in the order of the cases."""
    pairs = [*results.samples, *results.failures]
    order = [case.name for case in CASES]
    found = []
    for case, server in sorted(dict.fromkeys(pairs), key=lambda pair: order.index(pair[0])):
        if (case, server) in results.samples:
            found.append(_row(results, case, server))
        else:
            found.append((case, server, "failed", *[""] * (len(HEADS) - 3)))
    return found


def _row(results: Results, case: str, server: str) -> tuple[str, ...]:
    least, most = results.spread(case, server, "rate")
    return (
        case,
        server,
        _text(results.median(case, server, "rate"), "{:,.0f}"),
        f"{least:,.0f} to {most:,.0f}",
        _text(results.median(case, server, "cpu_us"), "{:.1f}"),
        _text(results.median(case, server, "p50_ms"), "{:.2f}"),
        _text(results.median(case, server, "p99_ms"), "{:.2f}"),
        _text(results.median(case, server, "server_busy"), "{:.0%}"),
        _text(results.median(case, server, "client_busy"), "{:.0%}"),
        _text(results.ratio("rate", (case, server), (case, PEER)), "{:.2f}"),
        _text(results.ratio("cpu_us", (case, server), (case, PEER)), "{:.3f}"),
        _text(results.ratio("cpu_us", (case, server), (case, PROOF)), "{:.2f}"),
    )


def _text(value: float | None, shape: str) -> str:
    return "" if value is None else shape.format(value)


def columns(heads: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    """The table for a terminal: the first two columns to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *table, strict=True)]
    lines = []
    for line in (heads, *table):
        cells = [
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
