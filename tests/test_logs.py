import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest
import structlog

from ratelimit.logs import configure_logs
from ratelimit.settings import LogSettings

STAMP = r"2[0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave no configuration behind."""
    yield
    structlog.reset_defaults()


def test_json_is_as_logrus_writes_it(capsys: pytest.CaptureFixture[str]) -> None:
    """@timestamp and @message, keys in order, no blanks, on standard error."""
    configure_logs(LogSettings(log_format="json", log_level="info"))
    structlog.get_logger().info("hello", line=3, among={"x": 1})
    shown = capsys.readouterr().err
    stamp = STAMP + r"(\.[0-9]{1,9})?Z"
    wanted = r'\{"@message":"hello","@timestamp":"' + stamp + r'","among":\{"x":1\},"level":"info","line":3\}\n'
    assert re.fullmatch(wanted, shown)


def test_text_is_as_logrus_writes_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Time, level and message first, the rest by name; quoted where it holds more than a word."""
    configure_logs(LogSettings(log_level="debug"))
    log = structlog.get_logger()
    log.debug("two words", port=80, address="10.0.0.1:6379", empty="")
    log.critical('a "b"\nc')
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(f'time="{STAMP}Z" level=debug msg="two words" address="10.0.0.1:6379" empty= port=80', first)
    assert second.endswith(r'level=fatal msg="a \"b\"\nc"')


@pytest.mark.parametrize(
    ("level", "shown"),
    [("fatal", 1), ("panic", 1), ("error", 2), ("warn", 3), ("warning", 3), ("info", 4), ("debug", 5), ("trace", 5)],
)
def test_the_level_holds(level: str, shown: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Every name that logrus knows."""
    configure_logs(LogSettings.model_validate({"log_level": level.upper()}))
    log = structlog.get_logger()
    for method in (log.critical, log.error, log.warning, log.info, log.debug):
        method("told")
    assert len(capsys.readouterr().err.splitlines()) == shown


def test_a_terminal_gets_lines_for_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs it by hand reads it."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    configure_logs(LogSettings())
    structlog.get_logger().warning("loud")
    assert re.search(r"\[.*warning.*\].*loud", capsys.readouterr().err)


def test_what_is_always_said_stands_in_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Several processes write to one place."""
    configure_logs(LogSettings(log_format="json"), worker=2)
    structlog.get_logger().warning("away")
    assert json.loads(capsys.readouterr().err)["worker"] == 2


def test_lines_of_libraries_have_the_same_form(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Warnings and worse; one that cannot be written does not end its library's work."""
    # Pytest's own handlers would keep ours away.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    configure_logs(LogSettings(log_format="json", log_level="info"))
    logger = logging.getLogger("aiohttp.x")
    logger.info("quiet")
    logger.error("lost %s", "it", exc_info=ValueError("why"))
    line = json.loads(capsys.readouterr().err)
    assert (line["@message"], line["level"], line["logger"]) == ("lost it", "error", "aiohttp.x")
    assert "ValueError: why" in line["exception"]
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger.warning("%d", "no number")
    assert capsys.readouterr().err == ""
