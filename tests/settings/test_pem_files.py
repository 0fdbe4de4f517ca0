import ssl
import subprocess
from pathlib import Path

import pytest

from ratelimit.errors import SettingsError
from ratelimit.settings import load_settings
from ratelimit.settings.pem_files import client_context
from tests.transport.test_tls import certificate

NO_CERTIFICATE = "no certificate in PEM format is in the file"
NO_KEY = "no private key in PEM format without a password is in the file"
MISSING = "cannot read the file: No such file or directory"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The paths of two pairs, of a key with a password, of a text that is no PEM, of nothing."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "text").write_bytes(b"\xffnot a PEM")
    found = {name: str(folder / name) for name in ("text", "gone", "locked")}
    for name in ("a", "b"):
        found[f"{name}.crt"], found[f"{name}.key"] = certificate(folder, name, "DNS:redis")
    lock = ["openssl", "rsa", "-aes128", "-passout", "pass:x", "-in", found["a.key"], "-out", found["locked"]]
    subprocess.run(lock, check=True, capture_output=True)
    return found


def problems(files: dict[str, str], **environ: str) -> list[tuple[str, str]]:
    """What a start says of variables, whose values here are names of files."""
    given = {f"REDIS_TLS_{name}": files[value] for name, value in environ.items()}
    try:
        load_settings({"REDIS_URL": "rediss://h", "REDIS_SOCKET_TYPE": "tcp", **given})
    except SettingsError as error:
        # Behind what is wrong stands the path.
        return [(name.removeprefix("REDIS_TLS_"), reason.partition(" (is '/")[0]) for name, reason in error.problems]
    return []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"CACERT": "a.crt", "CLIENT_CERT": "a.crt", "CLIENT_KEY": "a.key"}, []),
        ({"CACERT": "gone"}, [("CACERT", MISSING)]),
        ({"CACERT": "text"}, [("CACERT", NO_CERTIFICATE)]),
        ({"CLIENT_CERT": "a.key", "CLIENT_KEY": "a.key"}, [("CLIENT_CERT", NO_CERTIFICATE)]),
        ({"CLIENT_CERT": "a.crt", "CLIENT_KEY": "gone"}, [("CLIENT_KEY", MISSING)]),
        ({"CLIENT_CERT": "a.crt", "CLIENT_KEY": "a.crt"}, [("CLIENT_KEY", NO_KEY)]),
        ({"CLIENT_CERT": "a.crt", "CLIENT_KEY": "locked"}, [("CLIENT_KEY", NO_KEY)]),
        (
            {"CLIENT_CERT": "a.crt", "CLIENT_KEY": "b.key"},
            [("CLIENT_KEY", "it is not the key of REDIS_TLS_CLIENT_CERT")],
        ),
        (
            {"CACERT": "gone", "CLIENT_CERT": "text", "CLIENT_KEY": "gone"},
            [("CACERT", MISSING), ("CLIENT_CERT", NO_CERTIFICATE)],
        ),
    ],
    ids=str,
)
def test_files_that_cannot_be_used_end_the_start(
    files: dict[str, str], given: dict[str, str], said: list[tuple[str, str]]
) -> None:
    """Each by its variable, with what is wrong; a key is never asked for its password at the terminal."""
    assert problems(files, **given) == said


@pytest.mark.parametrize(
    "tls",
    [
        {"REDIS_TLS": "true"},
        {"REDIS_PERSECOND_TLS": "true"},
        {"REDIS_PERSECOND": "true", "REDIS_PERSECOND_SOCKET_TYPE": "tcp", "REDIS_PERSECOND_URL": "rediss://h"},
    ],
    ids=",".join,
)
def test_only_files_that_are_read_are_tried(files: dict[str, str], tls: dict[str, str]) -> None:
    """Without TLS they may be what they like; as in the reference, that of a store that is not used counts too."""
    unused = {"REDIS_TLS_CACERT": files["gone"], "REDIS_PERSECOND_URL": "rediss://h"}
    assert load_settings(unused).redis.redis_tls_cacert == files["gone"]
    with pytest.raises(SettingsError, match="REDIS_TLS_CACERT: cannot read"):
        load_settings({**unused, **tls})


def test_a_client_shows_its_certificate_and_checks_the_other_s(tmp_path: Path) -> None:
    """With an authority of one's own or the system's, and the name too, unless it is not to be looked at."""
    cert, key = certificate(tmp_path, "one", "DNS:one")
    own = client_context(cert, key, cert, check_hostname=False)
    assert len(own.get_ca_certs()) == 1
    assert (own.verify_mode, own.check_hostname) == (ssl.CERT_REQUIRED, False)
    assert client_context("", "", "", check_hostname=True).check_hostname
    with pytest.raises(OSError, match="No such file"):
        client_context(str(tmp_path / "none"), key, "", check_hostname=True)
