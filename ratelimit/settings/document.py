"""`python -m ratelimit.settings.document` in a clone: what is written about settings is made from their fields.

docs/configuration.md keeps its prose; a table stands between `<!-- settings: group -->` and `<!-- end of settings -->`.
deploy/settings.env is made whole.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from ratelimit.settings import groups
from ratelimit.settings.go_values import boolean, duration_s, integer, items, number, pairs, small_number
from ratelimit.settings.group import Group, about

TABLES = Path("docs/configuration.md")
ENVIRONMENT = Path("deploy/settings.env")
_TABLE = re.compile(r"(<!-- settings: (\w+) -->\n).*?(<!-- end of settings -->)", re.DOTALL)
_KINDS = {
    duration_s: "duration",
    boolean: "boolean",
    integer: "integer",
    number: "number",
    small_number: "number",
    pairs: "map",
    items: "list",
}
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}


def kind(field: FieldInfo) -> str:
    """How a variable's value is read, as docs/configuration.md explains it."""
    text = "integer" if isinstance(field.default, int) and not isinstance(field.default, bool) else "text"
    validators = [each.func for each in _annotations(field) if isinstance(each, BeforeValidator)]
    return next((_KINDS[each] for each in validators if each in _KINDS), text)


def _annotations(field: FieldInfo) -> list[Any]:
    # Those of `Boolean | None` stand with the part of the union.
    parts = getattr(field.annotation, "__args__", ())
    return [*field.metadata, *(each for part in parts for each in getattr(part, "__metadata__", ()))]


def text_of(field: FieldInfo, value: Any) -> str | None:
    """A value as it would stand in the environment; None for unset."""
    if value is None or isinstance(value, str):
        return value
    if kind(field) == "duration":
        return go_duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ",".join(f"{key}:{text}" for key, text in value.items())
    return ",".join(value) if isinstance(value, tuple) else f"{value:.12g}" if isinstance(value, float) else str(value)


def go_duration(seconds: float) -> str:
    """A duration in the largest unit that holds it whole: `24h`, `90s`, `10ms`."""
    if seconds == 0:
        return "0"
    counts = ((seconds / unit_s, unit) for unit, unit_s in _UNITS_S.items())
    whole = (f"{round(count)}{unit}" for count, unit in counts if abs(count - round(count)) < 1e-6 * abs(count))
    return next(whole, f"{round(seconds * 1e9)}ns")


def table(group: type[Group]) -> str:
    """The variables of a group, as Markdown."""
    lines = ["| variable | kind | default | of | meaning |", "|---|---|---|---|---|"]
    for name, field in group.model_fields.items():
        said = about(field)
        default = text_of(field, field.default)
        shown = "unset" if default is None else f"`{default}`" if default else "empty"
        if said.reference:
            shown += f" (theirs: `{said.reference}`)"
        meaning = said.meaning or f"no effect: {said.no_effect}"
        of = "ours" if said.ours else "theirs"
        lines.append(f"| `{name.upper()}` | {kind(field)} | {shown} | {of} | {meaning} |")
    return "".join(f"{line}\n" for line in lines)


def documented(text: str) -> str:
    """docs/configuration.md with the tables of now. Raises KeyError for a group that is none."""
    kinds = groups()
    return _TABLE.sub(lambda found: f"{found[1]}{table(kinds[found[2]])}{found[3]}", text)


def environment() -> str:
    """deploy/settings.env."""
    lines = ["# Every setting at its default; a variable that is not named keeps it. Made by `make docs`."]
    for group in groups().values():
        lines += ["", f"# {(group.__doc__ or '').splitlines()[0]}"]
        for name, field in group.model_fields.items():
            default = text_of(field, field.default)
            lines.append(f"# {name.upper()}=" if default is None else f"{name.upper()}={default}")
    return "".join(f"{line}\n" for line in lines)


def main(root: Path) -> int:
    """Write both files below `root`."""
    tables = root / TABLES
    tables.write_text(documented(tables.read_text(encoding="utf-8")), encoding="utf-8")
    (root / ENVIRONMENT).write_text(environment(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path()))
