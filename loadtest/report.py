"""The report of a bench: for the terminal, for readers (report.md with a chart) and for programs (results.json)."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtest.cases import CASES
from loadtest.chart import draw
from loadtest.results import HEADS, Results, columns, rows, verdicts, word

VERDICT_HEADS = ("target", "found", "")


def summary(results: Results) -> str:
    """All of it as text."""
    parts = [
        ", ".join(f"{name} {value}" for name, value in results.machine.items()),
        columns(HEADS, rows(results)),
        columns(VERDICT_HEADS, verdict_rows(results)),
        "resident memory at the end: " + memory(results),
    ]
    parts += [f"failed: {line}" for line in failed(results)]
    return "\n\n".join(parts)


def verdict_rows(results: Results) -> list[tuple[str, str, str]]:
    """Each target, the ratio that was found, and the verdict."""
    return [
        (str(target), "" if ratio is None else f"{ratio:.3g}", word(target, ratio))
        for target, ratio in verdicts(results)
    ]


def failed(results: Results) -> list[str]:
    """Each measurement that failed, a line each."""
    return [
        f"{case}, {server}: {' '.join(reason.split())}"
        for (case, server), reasons in results.failures.items()
        for reason in reasons
    ]


def memory(results: Results) -> str:
    """The servers' resident memory."""
    return ", ".join(f"{server} {size:.0f} MB" for server, size in results.rss_mb.items())


def markdown(results: Results) -> str:
    """report.md."""
    measured = {case for case, _ in results.samples}
    lines = [
        "# Bench",
        "",
        *(f"- {name}: {value}" for name, value in results.machine.items()),
        f"- resident memory at the end: {memory(results)}",
        "",
        "Medians of the rounds, ratios too; `spread` is the least and the most req/s of a round. `CPU µs` is the",
        "server's own CPU time per request. `busy` and `client` are the parts of a core that server and client used:",
        "where `busy` is well below 100%, not the server was the limit, and its CPU time is what tells.",
        "",
        "![req/s, CPU time and latencies](chart.svg)",
        "",
        *_table(HEADS, rows(results)),
        "",
        *(f"- `{case.name}`: {case.title}" for case in CASES if case.name in measured),
        "",
        "## Targets",
        "",
        *_table(VERDICT_HEADS, verdict_rows(results)),
    ]
    if results.failures:
        lines += ["", "## Failed", ""]
        lines += [f"- {line}" for line in failed(results)]
    return "\n".join(lines) + "\n"


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *lines)]


def as_json(results: Results) -> dict[str, Any]:
    """results.json: every sample, and the verdicts."""
    return {
        "machine": dict(results.machine),
        "samples": [
            {"case": case, "server": server, "rounds": [dataclasses.asdict(sample) for sample in samples]}
            for (case, server), samples in results.samples.items()
        ],
        "failures": [
            {"case": case, "server": server, "reasons": reasons} for (case, server), reasons in results.failures.items()
        ],
        "rss_mb": results.rss_mb,
        "targets": [
            {**dataclasses.asdict(target), "ratio": ratio, "verdict": word(target, ratio)}
            for target, ratio in verdicts(results)
        ],
    }


def write_report(results: Results, folder: Path) -> None:
    """Write report.md, results.json, chart.svg and chart.png."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(as_json(results), indent=1) + "\n")
    (folder / "report.md").write_text(markdown(results))
    draw(results, folder)
