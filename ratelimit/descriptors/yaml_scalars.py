"""YAML 1.1 scalars, read from their text by functions that cannot raise.

PyYAML's constructors are not used: they raise ValueError, KeyError, OverflowError and more for texts that its resolver
has let through (`0x_`, `2026-13-01`, 5,000 digits), and they guess (`1:30` becomes 90). Here None means "is none".
"""

import datetime as dt
import math
import re

_INTEGER = re.compile(
    r"([-+]?)(?:0b(?P<binary>[01_]*[01][01_]*)|0x(?P<hexadecimal>[0-9a-fA-F_]*[0-9a-fA-F][0-9a-fA-F_]*)"
    r"|0o?(?P<octal>[0-7_]*[0-7][0-7_]*)|(?P<decimal>0|[1-9][0-9_]*))"
)
_BASES = {"binary": 2, "hexadecimal": 16, "octal": 8, "decimal": 10}
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TRUE = frozenset(("y", "yes", "on", "true"))
_FALSE = frozenset(("n", "no", "off", "false"))
# A whole number with more digits is beyond everything that is accepted anywhere; converting it costs the square of its
# length, and Python refuses from 4,301 digits on.
DIGITS_MAX = 400
FLOAT_CHARACTERS_MAX = 1_000


def integer(raw: str) -> int | None:
    """A whole number: 10, 010 (8), 0o17, 0x10, 0b11, 1_000. Beyond `DIGITS_MAX` digits only its size is right."""
    found = _INTEGER.fullmatch(raw)
    if found is None or found.lastgroup is None:
        return None
    digits = found[found.lastgroup].replace("_", "").lstrip("0") or "0"
    number = int(digits, _BASES[found.lastgroup]) if len(digits) <= DIGITS_MAX else 10**DIGITS_MAX
    return -number if found[1] == "-" else number


def number(raw: str) -> float | None:
    """A number with a fraction or an exponent; infinity and not-a-number where the text says or exceeds them."""
    if _NOT_FINITE.fullmatch(raw):
        return float(raw.replace(".", ""))
    if len(raw) > FLOAT_CHARACTERS_MAX or not _FLOAT.fullmatch(raw):
        return None
    return float(raw.replace("_", ""))


def boolean(raw: str) -> bool | None:
    """True, yes, on, y and their opposites, in one case or capitalised."""
    if raw not in {raw.lower(), raw.upper(), raw.title()}:
        return None
    return True if raw.lower() in _TRUE else False if raw.lower() in _FALSE else None


def is_date(raw: str) -> bool:
    """Whether a text in the shape of a date, perhaps with a time, names a day and a time that exist."""
    fields = [int(digits) for digits in re.findall(r"[0-9]{1,4}", raw)[:6]]
    try:
        dt.datetime(*fields)  # type: ignore[arg-type]  # noqa: DTZ001 - only whether it exists
    except (ValueError, TypeError):
        return False
    return True


def fits_json(value: float) -> bool:
    """Whether a JSON number, a double, can hold `value`; whole numbers may lose digits there, never their size."""
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
