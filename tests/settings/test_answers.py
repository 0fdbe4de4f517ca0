import pytest

from ratelimit.errors import SettingsError
from ratelimit.settings import load_settings


def test_a_header_is_sent_as_it_is_named() -> None:
    """What is no name of a header is told, and sent as the reference sends it."""
    settings = load_settings(
        {"LIMIT_LIMIT_HEADER": "X-Limit", "LIMIT_RESET_HEADER": "a b", "LIMIT_REMAINING_HEADER": ""}
    )
    assert settings.response.limit_limit_header == "X-Limit"
    assert settings.response.limit_reset_header == "a b"
    assert [name for name, _ in settings.notes] == ["LIMIT_REMAINING_HEADER", "LIMIT_RESET_HEADER"]


def test_a_header_that_no_reply_can_hold_ends_the_start() -> None:
    """Bytes that are no UTF-8 would fail every call."""
    with pytest.raises(SettingsError, match="LIMIT_LIMIT_HEADER: UTF-8 is wanted"):
        load_settings({"LIMIT_LIMIT_HEADER": "x\udcff"})
