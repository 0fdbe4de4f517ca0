"""The plot as an SVG that stands alone: stacked bars of what was admitted and denied, a panel for each series.

No script, nothing fetched, light or dark as the reader has it. All panels share the axis of time.
"""

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ratelimit.simulation.bars import Column, Frame, duration
from ratelimit.simulation.report_text import shown

WIDTH, MARGIN_LEFT, MARGIN_RIGHT = 960, 70, 20
TITLE, PLOT, AXIS = 44, 120, 26
PANEL = TITLE + PLOT + AXIS
HEAD = 56
TICKS = 6
TITLE_LENGTH_MAX = 110
STYLE = """
  svg { background: #ffffff; font: 12px system-ui, sans-serif; }
  text { fill: #24292f; } .quiet { fill: #57606a; } .grid { stroke: #d0d7de; stroke-width: 1; }
  .admitted { fill: #4c8bf5; } .denied { fill: #d1242f; } .title { font-weight: 600; } .head { font-size: 16px; }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; } text { fill: #e6edf3; } .quiet { fill: #8d96a0; } .grid { stroke: #30363d; }
    .admitted { fill: #4184e4; } .denied { fill: #f0524f; }
  }
"""


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot: `columns` as `bars.columns` gives them."""

    title: str
    note: str
    columns: Sequence[Column]


def chart(title: str, panels: Sequence[Panel], frame: Frame) -> str:
    """The whole picture; all panels have the columns of `frame`."""
    height = HEAD + len(panels) * PANEL
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f"<title>{_text(title)}</title><style>{STYLE}</style>",
        f'<text class="head title" x="{MARGIN_LEFT}" y="28">{_text(title)}</text>',
        *_legend(frame),
    ]
    for place, panel in enumerate(panels):
        parts.append(f'<g transform="translate(0 {HEAD + place * PANEL})">')
        parts += [*_panel(panel, frame), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _legend(frame: Frame) -> Iterator[str]:
    x = WIDTH - MARGIN_RIGHT - 420
    for name, label, width in (("admitted", "admitted", 80), ("denied", "denied; by limit: over it", 180)):
        yield f'<rect class="{name}" x="{x}" y="38" width="10" height="10"/>'
        yield f'<text class="quiet" x="{x + 15}" y="47">{label}</text>'
        x += width
    yield f'<text class="quiet" x="{x}" y="47">a bar is {duration(frame.wide_s)}, UTC</text>'


def _panel(panel: Panel, frame: Frame) -> Iterator[str]:
    yield f'<text class="title" x="{MARGIN_LEFT}" y="16">{_text(panel.title)}</text>'
    yield f'<text class="quiet" x="{MARGIN_LEFT}" y="32">{_text(panel.note)}</text>'
    top = highest(max((within + over for _, within, over in panel.columns), default=0))
    for value in (0, top // 2, top):
        y = TITLE + PLOT - value * PLOT / top
        yield f'<line class="grid" x1="{MARGIN_LEFT}" x2="{WIDTH - MARGIN_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="quiet" text-anchor="end" x="{MARGIN_LEFT - 6}" y="{y + 4:.1f}">{value:,}</text>'
    width = max(0.5, (_x(frame, frame.first + frame.wide_s) - MARGIN_LEFT) * 0.9)
    for second, within, over in panel.columns:
        if within or over:
            yield f"<g><title>{_moment(second)}: {within:,} admitted, {over:,} denied</title>"
            base, x = 0, _x(frame, second)
            for name, count in (("admitted", within), ("denied", over)):
                if not count:
                    continue
                y, height = TITLE + PLOT - (base + count) * PLOT / top, count * PLOT / top
                base += count
                yield f'<rect class="{name}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
            yield "</g>"
    below = TITLE + PLOT + 16
    for second in ticks(frame.first, frame.end):
        at = f'x="{_x(frame, second):.1f}" y="{below}"'
        yield f'<text class="quiet" text-anchor="middle" {at}>{_label(second, frame)}</text>'


def _x(frame: Frame, second: int) -> float:
    return MARGIN_LEFT + (second - frame.first) * (WIDTH - MARGIN_LEFT - MARGIN_RIGHT) / (frame.end - frame.first)


def highest(most: int) -> int:
    """The end of an axis that holds `most`: an even number times a power of ten, so that its half is whole."""
    power = 10 ** max(0, math.floor(math.log10(max(1, most))))
    return next(power * times for times in (2, 4, 6, 8, 10) if power * times >= most)


def ticks(first: int, end: int) -> list[int]:
    """About TICKS round seconds between two."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400)
    wanted = (end - first) / TICKS
    step = next((each for each in steps if each >= wanted), 86_400 * math.ceil(wanted / 86_400))
    return list(range(-(-first // step) * step, end, step))


def _label(second: int, frame: Frame) -> str:
    days = frame.end - frame.first > 2 * 86_400
    form = "%b %d" if days else "%H:%M:%S" if frame.end - frame.first < 600 else "%H:%M"
    return datetime.fromtimestamp(second, UTC).strftime(form)


def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _text(text: str) -> str:
    """For XML, which knows few control characters, and of bounded length."""
    return html.escape(shown(text, TITLE_LENGTH_MAX))
