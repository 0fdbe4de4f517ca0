"""YAML 1.1 scalars, read from their text by functions that cannot raise.

PyYAML's constructors are not used: they raise ValueError, KeyError, OverflowError and more for texts that its resolver
has let through (`0x_`, `2026-13-01`, 5,000 digits), and they guess (`1:30` becomes 90). Here None means "is none".
"""

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
_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **{form: True for word in _TRUE for form in (word, word.title(), word.upper())},
    **{form: False for word in _FALSE for form in (word, word.title(), word.upper())},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **{sign + form: math.inf for sign in ("", "+") for form in (".inf", ".Inf", ".INF")},
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_NUMERIC = tuple("0123456789+-.")
# As Go's strconv reads them: with a prefix for the base, or a 0 for octal numbers.
_GO_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]{1,20}|0[bB][01]{1,70}|0[oO]?[0-7]{1,30}|0|[1-9][0-9]{0,20})")
_OLD_OCTAL = re.compile(r"[-+]?0[0-7]+")
_GO_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_GO_EXPONENT_FROM = 1e21
_GO_NOT_FINITE = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}
INT64_MIN, INT64_MAX, UINT64_MAX = -(2**63), 2**63 - 1, 2**64 - 1
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


def free(raw: str) -> str | float | bool | None:
    """What a plain text in a value of free form is, by the rules of the reference's library (gopkg.in/yaml.v2).

    They are YAML 1.1 but for base 60 and dates, which stay texts, and for numbers beyond every type: texts too.
    """
    if raw in _WORDS:
        return _WORDS[raw]
    if not raw.startswith(_NUMERIC):
        return raw
    plain = raw if raw.startswith(".") else raw.replace("_", "")
    whole = _GO_INTEGER.fullmatch(plain)
    if whole is not None:
        found = int(plain, 0) if not _OLD_OCTAL.fullmatch(plain) else int(plain, 8)
        if INT64_MIN <= found <= (UINT64_MAX if plain[0].isdigit() else INT64_MAX):
            return found
    if len(plain) <= FLOAT_CHARACTERS_MAX and _GO_FLOAT.fullmatch(plain) and math.isfinite(float(plain)):
        return float(plain)
    return raw


def free_key(raw: str) -> str:
    """A plain key inside of such a value: its value as the reference's language writes it."""
    found = free(raw)
    if found is None:
        return "<nil>"
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, float):
        whole = found.is_integer() and abs(found) < _GO_EXPONENT_FROM
        return _GO_NOT_FINITE.get(str(found)) or (str(int(found)) if whole else str(found))
    return str(found)


def fits_json(value: float) -> bool:
    """Whether a JSON number, a double, can hold `value`; whole numbers may lose digits there, never their size."""
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
