"""DOG_STATSD_MOGRIFIER_<name>_PATTERN, _NAME and _TAGS: how the name of a statistic becomes another one, with tags."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ratelimit.settings.go_values import pairs

PREFIX = "DOG_STATSD_MOGRIFIER_"


@dataclass(frozen=True, slots=True)
class Mogrifier:
    """Names that `pattern` is found in become `name`, with `tags`; `$1` in either is a part of the match, `$0` all."""

    pattern: re.Pattern[str]
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)


def read_mogrifiers(
    names: Sequence[str], environ: Mapping[str, str]
) -> tuple[tuple[Mogrifier, ...], list[tuple[str, str]]]:
    """The mogrifiers of USE_DOG_STATSD_MOGRIFIERS, in their order, and what is wrong: (variable, reason)."""
    found: list[Mogrifier] = []
    problems: list[tuple[str, str]] = []
    for name in names:
        start = f"{PREFIX}{name}_".upper()
        wrong = dict(_problems(start, environ))
        problems += wrong.items()
        if not wrong:
            tags = dict(_tags(environ.get(f"{start}TAGS", "")))
            found.append(Mogrifier(re.compile(environ[f"{start}PATTERN"]), environ[f"{start}NAME"], tags))
    return tuple(found), problems


def _problems(start: str, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    problems = [
        (start + part, "a text is wanted, since USE_DOG_STATSD_MOGRIFIERS names it")
        for part in ("PATTERN", "NAME")
        if not environ.get(start + part)
    ]
    try:
        re.compile(environ.get(f"{start}PATTERN", ""))
    except re.error as error:
        problems.append((f"{start}PATTERN", f"a regular expression is wanted: {error}"))
    try:
        if not all(key and value for key, value in _tags(environ.get(f"{start}TAGS", "")).items()):
            problems.append((f"{start}TAGS", "each tag wants a key and a value"))
    except ValueError as error:
        problems.append((f"{start}TAGS", str(error)))
    return problems


def _tags(text: str) -> dict[str, str]:
    read = pairs(text)
    return read if isinstance(read, dict) else {}
