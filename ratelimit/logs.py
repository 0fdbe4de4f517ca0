"""Structured logs on standard error, as LOG_LEVEL and LOG_FORMAT say."""

import logging
import sys

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


def configure_logs(settings: LogSettings, **always: object) -> None:
    """Set up structlog, and let the libraries' own warnings through. `always` stands in every line."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level if settings.log_format == "text" else structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key=_key(settings, "timestamp")),
        structlog.processors.format_exc_info,
        lambda _, __, line: {**line, **always},
    ]
    if settings.log_format == "json":
        shared += [structlog.processors.EventRenamer("@message"), structlog.processors.JSONRenderer()]
    else:
        shared.append(structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0))
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.log_level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s [%(levelname)s] %(name)s: %(message)s"
    )


def _key(settings: LogSettings, name: str) -> str:
    return f"@{name}" if settings.log_format == "json" else name
