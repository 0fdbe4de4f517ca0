"""Comments that excuse findings: `# ratelimit: ignore[rule, rule]` behind a line, or alone above it.

Warnings and notes only: what does not load, or limits nobody, is no matter of opinion.
"""

import re
from collections.abc import Iterable, Iterator

from ratelimit.descriptors.specification import Place
from ratelimit.lint.finding import Finding, quoted
from ratelimit.lint.rules import RULES, Level

_COMMENT = re.compile(rb"^(?P<before>[^\n]*?)#[ \t]*ratelimit:[ \t]*ignore\[(?P<rules>[^\]\n]*)\]", re.MULTILINE)


def without_excused(findings: Iterable[Finding], texts: Iterable[tuple[str, bytes]]) -> Iterator[Finding]:
    """The findings that no comment of the files excuses, `texts` being their names and what they hold.

    Then those about the comments: a rule that is none excuses nothing.
    """
    excused: set[tuple[str, int | None, str]] = set()
    wrong: list[Finding] = []
    for file, text in texts:
        for line, rule in _comments(text):
            if rule in RULES:
                excused.add((file, line, rule))
            else:
                wrong.append(
                    Finding("unknown-rule", Place(file, line), f"{quoted(rule)} is no rule of `ratelimit check`")
                )
    for finding in findings:
        told = (finding.place.file, finding.place.line, finding.rule)
        if finding.level is Level.ERROR or told not in excused:
            yield finding
    yield from wrong


def _comments(text: bytes) -> Iterator[tuple[int, str]]:
    """The line that each is about, counted from 1, and each rule in it."""
    for found in _COMMENT.finditer(text):
        line = text.count(b"\n", 0, found.start()) + 1
        if not found["before"].strip(b" \t-"):
            line += 1
        for rule in found["rules"].decode("utf-8", "replace").split(","):
            yield line, rule.strip()
