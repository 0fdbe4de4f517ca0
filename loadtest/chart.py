"""The chart of a bench: a panel for each measure, a group of bars for each case, a bar for each server."""

from pathlib import Path
from typing import Any

from loadtest.cases import CASES, Measure
from loadtest.results import Results

PANELS: tuple[tuple[Measure, str], ...] = (
    ("rate", "requests per second (more is better)"),
    ("cpu_us", "server's CPU time per request, µs (less is better)"),
    ("p99_ms", "p99, ms (less is better)"),
)
COLOURS = {"ours": "#0b6e99", "peer": "#c8742b", "proof": "#9aa5ab"}
OTHER_COLOURS = ("#6aa9c4", "#a9cfdf")


def draw(results: Results, folder: Path) -> None:
    """Write chart.svg and chart.png."""
    import matplotlib as mpl  # noqa: PLC0415 - half a second that only this needs
    from matplotlib.figure import Figure  # noqa: PLC0415

    cases = [case.name for case in CASES if any(case.name == measured for measured, _ in results.samples)]
    servers = list(dict.fromkeys(server for _, server in results.samples))
    # Text stays text, and the same figures give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9}):
        figure = Figure(figsize=(10, 3.2 * len(PANELS)), layout="constrained")
        for axes, (measure, title) in zip(figure.subplots(len(PANELS), 1), PANELS, strict=True):
            _panel(axes, results, cases, servers, measure)
            axes.set_title(title, loc="left", fontsize=10)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, ncols=len(servers), frameon=False, loc="outside upper right")
        figure.savefig(folder / "chart.svg", metadata={"Date": None})
        figure.savefig(folder / "chart.png", dpi=110)


def _panel(axes: Any, results: Results, cases: list[str], servers: list[str], measure: Measure) -> None:
    """The bars of one measure, each with its number, on a scale of powers of ten: they lie far apart."""
    width = 0.85 / max(1, len(servers))
    for number, server in enumerate(servers):
        values = [results.median(case, server, measure) or 0 for case in cases]
        places = [place + (number - (len(servers) - 1) / 2) * width for place in range(len(cases))]
        colour = COLOURS.get(server, OTHER_COLOURS[number % len(OTHER_COLOURS)])
        bars = axes.bar(places, values, width * 0.95, label=server, color=colour)
        axes.bar_label(bars, [short(value) for value in values], fontsize=6.5, padding=1)
    axes.set_xticks(range(len(cases)), cases)
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.margins(x=0.01, y=0.12)
    axes.spines[["top", "right"]].set_visible(False)


def short(value: float) -> str:
    """A number in three or four characters; nothing for one that is not there."""
    if not value:
        return ""
    return f"{value / 1000:.3g}k" if value >= 1000 else f"{value:.3g}"
