"""A finding: which rule, where, what is wrong, and what to write instead."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ratelimit.descriptors.specification import Place, shortened, shown
from ratelimit.errors import ConfigError
from ratelimit.lint.rules import RULES, Level

SHOWN_CHARACTERS_MAX = 40
LISTED_MAX = 5
_PLACED = re.compile(r"(?P<file>.*?):(?P<line>\d+): (?P<said>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `rule` is a name in RULES; `cure` says what to write instead, "" where `said` does already."""

    rule: str
    place: Place
    said: str
    cure: str = ""

    @property
    def level(self) -> Level:
        """How much it weighs."""
        return RULES[self.rule].level

    @property
    def message(self) -> str:
        """What is wrong and the cure, on one line."""
        return f"{self.said}; {self.cure}" if self.cure else self.said

    @property
    def text(self) -> str:
        """`file:line: key path: what is wrong; the cure`, short enough for a line, whatever the file holds."""
        return str(self.place.error(self.message))


def of_error(error: ConfigError, rule: str = "not-loadable") -> Finding:
    """The finding of what could not be read or loaded."""
    return Finding(rule, Place(error.file, error.line, error.key_path), error.reason)


def of_warning(warning: str, rule: str) -> Finding:
    """The finding of a warning that the reader of a file gave: `file:line: what is wrong`."""
    placed = _PLACED.fullmatch(warning)
    if placed is None:
        return Finding(rule, Place(), warning)
    return Finding(rule, Place(placed["file"], int(placed["line"])), placed["said"])


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Each once, by file and line."""
    return sorted(dict.fromkeys(findings), key=lambda each: (each.place.file, each.place.line or 0))


def quoted(text: str) -> str:
    """A text of a file for a message: quoted, printable, short."""
    return shown(text, SHOWN_CHARACTERS_MAX)


def listed(texts: list[str]) -> str:
    """Some texts of a file, quoted; the first few of many."""
    some = [quoted(text) for text in texts[:LISTED_MAX]]
    more = len(texts) - len(some)
    return ", ".join(some) + (f" and {more} more" if more else "")


def at(place: Place) -> str:
    """A place inside of a message: `file:line`, or what is known of it."""
    file = shortened(place.file, 80)
    return f"{file}:{place.line}" if place.line else file
