"""`ratelimit settings`: what is in force, where each value came from, and what of it does nothing."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TextIO

from ratelimit.errors import SettingsError
from ratelimit.settings import Settings, groups, load_settings
from ratelimit.settings.document import text_of
from ratelimit.settings.group import about

HIDDEN = "***"
# Everything before the last `@` may be a password; so may what follows a `?`.
_CREDENTIALS = re.compile(r"(^[A-Za-z][A-Za-z0-9+.-]*://)?.*@", re.DOTALL)
_QUERY = re.compile(r"\?.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One variable: its effective value as text, None for unset, without what is secret of it.

    `source` is `environment` or `default`; `note` says why it does nothing or acts as another value, empty where not.
    """

    name: str
    value: str | None
    source: str
    ours: bool
    note: str = ""


def entries(settings: Settings, environ: Mapping[str, str]) -> list[Entry]:
    """Every variable, in the order of the documentation."""
    notes = dict(settings.notes)
    found = []
    for part, kind in groups().items():
        for field, info in kind.model_fields.items():
            name, said = field.upper(), about(info)
            value = text_of(info, getattr(getattr(settings, part), field))
            given = name in environ
            # A variable that does nothing says so wherever somebody set it, also to its default.
            note = notes.get(name, f"has no effect: {said.no_effect}" if given and said.no_effect else "")
            shown = masked(field, value) if said.secret else value
            found.append(Entry(name, shown, "environment" if given else "default", said.ours, note))
    return found


def masked(field: str, value: str | None) -> str | None:
    """A value that may hold a secret: of an address the credentials are hidden, of headers what they say, else all."""
    if not value:
        return value
    if field.endswith("_url"):
        return _QUERY.sub(f"?{HIDDEN}", _CREDENTIALS.sub(lambda found: f"{found[1] or ''}{HIDDEN}@", value))
    if field.endswith("_headers"):
        return ",".join(f"{pair.partition(':')[0]}:{HIDDEN}" for pair in value.split(","))
    return HIDDEN


def tell_settings(out: TextIO, *, as_json: bool, environ: Mapping[str, str] | None = None) -> int:
    """Write to `out` what is in force with `environ` (the process's own for None), or all that is wrong: 0 or 1."""
    environ = os.environ if environ is None else environ
    try:
        settings = load_settings(environ)
    except SettingsError as error:
        wrong = [{"name": name, "reason": reason} for name, reason in error.problems]
        lines = [f"{each['name']}: {each['reason']}" for each in wrong]
        _write(out, json.dumps({"errors": wrong}, indent=2) if as_json else "\n".join(lines))
        return 1
    found = entries(settings, environ)
    if as_json:
        hints = [{"name": name, "meant": meant} for name, meant in settings.hints]
        told = {"variables": [asdict(entry) for entry in found], "hints": hints}
        _write(out, json.dumps(told, indent=2, ensure_ascii=False))
    else:
        _write(
            out, "\n".join([*_lines(found), *(f"hint: {text}" for text in settings.warnings[len(settings.notes) :])])
        )
    return 0


def _lines(found: list[Entry]) -> list[str]:
    width = max(len(entry.name) for entry in found)
    values = [_legible(entry.value) for entry in found]
    wide = min(max(map(len, values)), 40)
    return [
        f"{entry.name:{width}}  {value:{wide}}  {entry.source:11}  {entry.note}".rstrip()
        for entry, value in zip(found, values, strict=True)
    ]


def _legible(value: str | None) -> str:
    if value is None:
        return "(unset)"
    return value if value and value.isprintable() else ascii(value)


def _write(out: TextIO, text: str) -> None:
    out.write(f"{text.encode(errors='backslashreplace').decode()}\n")
