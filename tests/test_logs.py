import json
from collections.abc import Iterator

import pytest
import structlog

from ratelimit.logs import configure_logs
from ratelimit.settings import LogSettings


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave no configuration behind."""
    yield
    structlog.reset_defaults()


def test_json_has_the_references_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """@timestamp and @message, on standard error."""
    configure_logs(LogSettings(log_format="json", log_level="info"))
    structlog.get_logger().info("hello", line=3)
    line = json.loads(capsys.readouterr().err)
    assert (line["@message"], line["level"], line["line"]) == ("hello", "info", 3)
    assert line["@timestamp"].endswith("Z")


def test_the_level_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """By default only warnings and worse."""
    configure_logs(LogSettings())
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    shown = capsys.readouterr().err
    assert "loud" in shown
    assert "quiet" not in shown


def test_what_is_always_said_stands_in_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Several processes write to one place."""
    configure_logs(LogSettings(log_format="json"), worker=2)
    structlog.get_logger().warning("away")
    assert json.loads(capsys.readouterr().err)["worker"] == 2
