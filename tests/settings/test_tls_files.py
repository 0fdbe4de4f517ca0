import ssl
from pathlib import Path

import pytest

from ratelimit.settings.tls_files import client_context, unreadable_authority, unreadable_pair
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


def test_a_client_shows_its_certificate_and_checks_the_other_s(tmp_path: Path) -> None:
    """With an authority of one's own or the system's, and the name too, unless it is not to be looked at."""
    cert, key = certificate(tmp_path, "one", "DNS:one")
    own = client_context(cert, key, cert, check_hostname=False)
    assert len(own.get_ca_certs()) == 1
    assert (own.verify_mode, own.check_hostname) == (ssl.CERT_REQUIRED, False)
    assert client_context("", "", "", check_hostname=True).check_hostname
    with pytest.raises(OSError, match="No such file"):
        client_context(str(tmp_path / "none"), key, "", check_hostname=True)
