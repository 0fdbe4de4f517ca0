"""Collapsed stacks as a flame graph: one SVG without scripts or anything from elsewhere."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape

WIDTH, ROW, CHARACTER = 1200, 17, 7.0
# Narrower than half a pixel is not seen.
NARROW = 0.5
# Two letters and dots at least, or nothing.
LETTERS_MIN = 4
_COLOURS = ("#f4a261", "#e9c46a", "#e76f51", "#f6bd60", "#f28482", "#f5cb5c")


@dataclass(slots=True)
class _Box:
    """A function and what it called: `times` counts samples with it in this place."""

    times: int = 0
    below: dict[str, "_Box"] = field(default_factory=dict)


def flame_graph(stacks: Counter[str], title: str) -> str:
    """The SVG: the outermost functions on top, as wide as they were often seen; a tip says how often."""
    root = _Box()
    for stack, times in stacks.items():
        box = root
        box.times += times
        for name in stack.split(";"):
            box = box.below.setdefault(name, _Box())
            box.times += times
    boxes = list(_boxes(root, 0.0, 1))
    height = (2 + max((row for row, *_ in boxes), default=0)) * ROW
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="monospace" '
        f'font-size="11"><rect width="100%" height="100%" fill="#fff"/><text x="4" y="13">{escape(title)}</text>\n'
    )
    return head + "".join(_drawn(root.times, *box) for box in boxes) + "</svg>\n"


def _boxes(root: _Box, left: float, row: int) -> Iterator[tuple[int, float, float, str, int]]:
    """Row, left, width, name and samples of every box wide enough, without recursion: stacks may be deep."""
    scale = WIDTH / max(1, root.times)
    waiting = [(root, left, row)]
    while waiting:
        box, left, row = waiting.pop()
        for name, inner in sorted(box.below.items()):
            width = inner.times * scale
            if width >= NARROW:
                yield row, left, width, name, inner.times
                waiting.append((inner, left, row + 1))
            left += width


def _drawn(total: int, row: int, left: float, width: float, *told: object) -> str:
    name, times = str(told[0]), int(str(told[1]))
    letters = int(width / CHARACTER)
    shown = "" if letters < LETTERS_MIN else name if len(name) <= letters else f"{name[: letters - 2]}.."
    colour = _COLOURS[sum(name.encode()) % len(_COLOURS)]
    tip = f"{name}: {times} of {total} samples ({100 * times / total:.1f} %)"
    y = row * ROW
    return (
        f'<g><title>{escape(tip)}</title><rect x="{left:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 1}" '
        f'fill="{colour}"/><text x="{left + 2:.1f}" y="{y + 12}">{escape(shown)}</text></g>\n'
    )
