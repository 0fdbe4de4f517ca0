"""Structured logs on standard error, as LOG_LEVEL and LOG_FORMAT say, in the forms of logrus.

text   time="2026-11-27T16:53:39Z" level=warning msg="it is away" address=store.example; on a terminal, for people
json   {"@message":"it is away","@timestamp":"2026-11-27T16:53:39.54142Z","address":"store.example","level":"warning"}
"""

import json
import logging
import re
import sys
import time
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import structlog

from ratelimit.settings import LogSettings

_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
}
# What logrus calls them, where that is not structlog's word.
_NAMES = {"critical": "fatal", "exception": "error", "warn": "warning"}
_PLAIN = re.compile(r"[a-zA-Z0-9\-._/@^+]*")

Line = MutableMapping[str, Any]


def configure_logs(settings: LogSettings, **always: object) -> None:
    """Set up structlog, and let the libraries' own warnings through it. `always` stands in every line."""
    shared: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        lambda _, __, line: {**line, **always},
    ]
    if settings.log_format == "json":
        shared.append(_json)
    elif sys.stderr.isatty():
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        shared += [structlog.stdlib.add_log_level, stamp, structlog.dev.ConsoleRenderer(pad_event_to=0)]
    else:
        shared.append(_text)
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.log_level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_ToStructlog()])


class _ToStructlog(logging.Handler):
    """Lines of libraries that use Python's own logging, in the form of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            told = structlog.get_logger().bind(logger=record.name)
            told.log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)
        except Exception:  # noqa: BLE001 - whatever a library gives must not end what it was doing
            self.handleError(record)


def _json(_: object, method: str, line: Line) -> str:
    """As logrus writes JSON: keys in their order, no blanks, times with their nanoseconds."""
    now_ns = time.time_ns()
    fraction = f".{now_ns % 10**9:09d}".rstrip("0").rstrip(".")
    line["@message"] = line.pop("event", "")
    line["@timestamp"] = f"{_time(now_ns)}{fraction}Z"
    line["level"] = _NAMES.get(method, method)
    return json.dumps(line, default=str, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _text(_: object, method: str, line: Line) -> str:
    """As logrus writes text: time, level and message, then the rest by name."""
    first = {"time": f"{_time(time.time_ns())}Z", "level": _NAMES.get(method, method), "msg": line.pop("event", "")}
    return " ".join(f"{key}={_quoted(value)}" for key, value in (*first.items(), *sorted(line.items())))


def _time(now_ns: int) -> str:
    return datetime.fromtimestamp(now_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _quoted(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
