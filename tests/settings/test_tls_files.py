from pathlib import Path

from ratelimit.settings.tls_files import unreadable_authority, unreadable_pair
from tests.transport.test_tls import certificate


def test_files_that_can_be_used_are_told_from_others(tmp_path: Path) -> None:
    """A pair, an authority; a file that is not there, that holds something else, that does not fit."""
    one, key = certificate(tmp_path, "one", "DNS:one")
    _, other = certificate(tmp_path, "two", "DNS:two")
    text = tmp_path / "text"
    text.write_text("no certificate")
    assert unreadable_pair(one, key) == ""
    assert unreadable_pair(one, "") == ""
    assert "No such file" in unreadable_pair(one, str(tmp_path / "none"))
    assert unreadable_pair(one, other).startswith("cannot be used: ")
    assert unreadable_authority("") == unreadable_authority(one) == ""
    assert unreadable_authority(str(text)).startswith("cannot be used: ")
