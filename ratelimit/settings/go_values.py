"""Values as Go programs read them from the environment, so that a deployment's variables keep their meaning."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, PlainValidator

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
# Go holds a duration as nanoseconds in an int64, and an integer in one too.
DURATION_S_MAX = (2**63 - 1) * 1e-9
INTEGER_MAX = 2**63 - 1
# More than any machine has cores for; each is a process with all that it holds.
WORKERS_MAX = 256
# Longer than any duration or integer that a person writes; it bounds the work on what nobody wrote.
TEXT_MAX = 100
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


def duration_s(value: object) -> object:
    """Seconds of a Go duration: `10s`, `1m30s`, `150µs`, `0`."""
    if not isinstance(value, str):
        return value
    body = value.removeprefix("-").removeprefix("+")
    if body == "0":
        return 0.0
    parts = _PART.findall(body[:TEXT_MAX])
    if not parts or "".join(number + unit for number, unit in parts) != body:
        raise ValueError("a duration with its unit is wanted, for instance 10s, 150ms or 1m30s")
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if value.startswith("-"):
        raise ValueError("a duration must not be negative")
    if seconds > DURATION_S_MAX:
        raise ValueError("a duration must be shorter than 292 years")
    return seconds


def boolean(value: object) -> object:
    """A boolean as Go's strconv reads it."""
    if not isinstance(value, str):
        return value
    if value not in _TRUE | _FALSE:
        raise ValueError("true or false is wanted (1 t T TRUE true True, 0 f F FALSE false False)")
    return value in _TRUE


def integer(value: object) -> object:
    """A whole number: decimal, 0x hexadecimal, 0 or 0o octal, 0b binary."""
    if not isinstance(value, str):
        return value
    octal = re.fullmatch(r"[-+]?0[0-7_]+", value)
    try:
        number = int(value if value.isascii() else "", 8 if octal else 0)
    except ValueError:
        raise ValueError("a whole number is wanted") from None
    if abs(number) > INTEGER_MAX:
        raise ValueError("a whole number must fit into 64 bits")
    return number


def pairs(value: object) -> object:
    """A map: `k:v,k:v`."""
    if not isinstance(value, str):
        return value
    result = {}
    for pair in filter(None, value.split(",")):
        key, colon, text = pair.partition(":")
        if not colon:
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
    number = value if value == "auto" else integer(value)
    if number != "auto" and (type(number) is not int or not 1 <= number <= WORKERS_MAX):
        raise ValueError(f"a whole number from 1 to {WORKERS_MAX} or auto is wanted")
    return number


Duration = Annotated[float, BeforeValidator(duration_s)]
Boolean = Annotated[bool, BeforeValidator(boolean)]
Integer = Annotated[int, BeforeValidator(integer)]
Pairs = Annotated[dict[str, str], BeforeValidator(pairs)]
Items = Annotated[tuple[str, ...], BeforeValidator(items)]
Workers = Annotated[int | Literal["auto"], PlainValidator(workers)]
