"""Values as Go programs read them from the environment, so that a deployment's variables keep their meaning.

Go reads no white space around a value, and an empty one is no number, boolean or duration.
"""

import math
import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, PlainValidator

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
# Go holds a duration as nanoseconds in an int64, and an integer in one too.
DURATION_S_MAX = (2**63 - 1) * 1e-9
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1
# Half a step beyond the largest number of single precision: from here on it is infinite.
FLOAT32_MAX = (2 - 2**-24) * 2.0**127
# More than any machine has cores for; each is a process with all that it holds.
WORKERS_MAX = 256
# Longer than any duration or number that a person writes; it bounds the work on what nobody wrote.
TEXT_MAX = 100
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_INTEGER = re.compile(r"[-+]?[0-9][0-9A-Fa-fxXoO_]*")
_NUMBER = re.compile(r"[-+]?(?:[0-9_]+\.?[0-9_]*|\.[0-9_]+)(?:e[-+]?[0-9_]+)?", re.IGNORECASE)
_HEXADECIMAL = re.compile(r"[-+]?0x[0-9a-f_]*\.?[0-9a-f_]*p[-+]?[0-9_]+", re.IGNORECASE)
_NO_FINITE = re.compile(r"[-+]?inf(?:inity)?|nan", re.IGNORECASE)


def duration_s(value: object) -> object:
    """Seconds of a Go duration: `10s`, `1m30s`, `150µs`, `-.5h`, `0`."""
    if not isinstance(value, str):
        return value
    sign, body = (-1, value[1:]) if value.startswith("-") else (1, value.removeprefix("+"))
    if body == "0":
        return 0.0
    parts = _PART.findall(body[:TEXT_MAX])
    if not parts or "".join(number + unit for number, unit in parts) != body:
        raise ValueError("a duration with its unit is wanted, for instance 10s, 150ms or 1m30s")
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if seconds > DURATION_S_MAX:
        raise ValueError("a duration must be shorter than 292 years")
    return sign * seconds


def boolean(value: object) -> object:
    """A boolean as Go's strconv reads it."""
    if not isinstance(value, str):
        return value
    if value not in _TRUE | _FALSE:
        raise ValueError("true or false is wanted (1 t T TRUE true True, 0 f F FALSE false False)")
    return value in _TRUE


def integer(value: object) -> object:
    """A whole number: decimal, 0x hexadecimal, 0 or 0o octal, 0b binary, with `_` between digits."""
    if not isinstance(value, str):
        return value
    octal = re.fullmatch(r"[-+]?0[0-7_]+", value)
    try:
        number = int(value if _INTEGER.fullmatch(value) else "", 8 if octal else 0)
    except ValueError:
        raise ValueError("a whole number is wanted") from None
    if not INTEGER_MIN <= number <= INTEGER_MAX:
        raise ValueError("a whole number must fit into 64 bits")
    return number


def number(value: object) -> object:
    """A number of double precision: `0.8`, `1e-3`, `0x1p-2`, `inf`, `nan`, with `_` between digits."""
    if not isinstance(value, str):
        return value
    try:
        if _HEXADECIMAL.fullmatch(value[:TEXT_MAX]):
            read = float.fromhex(re.sub("(?<=[0-9A-Fa-fxX])_(?=[0-9A-Fa-f])", "", value))
        elif _NUMBER.fullmatch(value[:TEXT_MAX]) or _NO_FINITE.fullmatch(value):
            read = float(value)
        else:
            read = float("")
    except (ValueError, OverflowError):
        raise ValueError("a number is wanted, for instance 0.8") from None
    if math.isinf(read) and not _NO_FINITE.fullmatch(value):
        raise ValueError("a number must fit into double precision")
    return read


def small_number(value: object) -> object:
    """A number that fits into single precision."""
    read = number(value)
    if isinstance(value, str) and isinstance(read, float) and math.isfinite(read) and abs(read) >= FLOAT32_MAX:
        raise ValueError("a number must fit into single precision")
    return read


def pairs(value: object) -> object:
    """A map: `k:v,k:v`; keys and values have no colon and keep their white space, the last of a key's values counts."""
    if not isinstance(value, str):
        return value
    result = {}
    for pair in value.split(",") if value.strip() else ():
        key, colon, text = pair.partition(":")
        if not colon or ":" in text:
            raise ValueError(f"{pair!r} is no pair; key:value,key:value is wanted")
        result[key] = text
    return result


def items(value: object) -> object:
    """A list: `a,b`; its parts keep their white space and may be empty."""
    if not isinstance(value, str):
        return value
    return tuple(value.split(",")) if value.strip() else ()


def workers(value: object) -> object:
    """A number of processes, or `auto`."""
    processes = value if value == "auto" else integer(value)
    if processes != "auto" and (type(processes) is not int or not 1 <= processes <= WORKERS_MAX):
        raise ValueError(f"a whole number from 1 to {WORKERS_MAX} or auto is wanted")
    return processes


Duration = Annotated[float, BeforeValidator(duration_s)]
Boolean = Annotated[bool, BeforeValidator(boolean)]
Integer = Annotated[int, BeforeValidator(integer)]
Number = Annotated[float, BeforeValidator(number)]
SmallNumber = Annotated[float, BeforeValidator(small_number)]
Pairs = Annotated[dict[str, str], BeforeValidator(pairs)]
Items = Annotated[tuple[str, ...], BeforeValidator(items)]
Workers = Annotated[int | Literal["auto"], PlainValidator(workers)]
