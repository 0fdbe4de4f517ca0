import pytest

from ratelimit.errors import SettingsError
from ratelimit.settings import load_settings
from tests.transport.test_tls import certificate

NO_CERTIFICATE = "no certificate in PEM format is in the file"
NO_KEY = "no private key in PEM format without a password is in the file"
MISSING = "cannot read the file: No such file or directory"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The paths of two pairs, of a text that is no PEM, of nothing."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "text").write_bytes(b"\xffnot a PEM")
    found = {"text": str(folder / "text"), "gone": str(folder / "gone"), "folder": str(folder), "nul": "a\0b"}
    for name in ("a", "b"):
        found[f"{name}.crt"], found[f"{name}.key"] = certificate(folder, name, "DNS:redis")
    return found


def problems(files: dict[str, str], **environ: str) -> list[tuple[str, str]]:
    """What a start says of variables, whose values here are names of files."""
    given = {f"REDIS_TLS_{name}": files[value] for name, value in environ.items()}
    try:
        load_settings({"REDIS_URL": "rediss://h", "REDIS_SOCKET_TYPE": "tcp", **given})
    except SettingsError as error:
        return [(name.removeprefix("REDIS_TLS_"), reason.partition(" (is")[0]) for name, reason in error.problems]
    return []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"CACERT": "a.crt", "CLIENT_CERT": "a.crt", "CLIENT_KEY": "a.key"}, []),
        ({"CACERT": "gone"}, [("CACERT", MISSING)]),
        ({"CACERT": "folder"}, [("CACERT", "cannot read the file: Is a directory")]),
        ({"CACERT": "nul"}, [("CACERT", "cannot read the file: embedded null byte")]),
        ({"CACERT": "text"}, [("CACERT", NO_CERTIFICATE)]),
        ({"CLIENT_CERT": "a.key", "CLIENT_KEY": "a.key"}, [("CLIENT_CERT", NO_CERTIFICATE)]),
        ({"CLIENT_CERT": "a.crt", "CLIENT_KEY": "gone"}, [("CLIENT_KEY", MISSING)]),
        ({"CLIENT_CERT": "a.crt", "CLIENT_KEY": "a.crt"}, [("CLIENT_KEY", NO_KEY)]),
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
    """Each by its variable, with what is wrong."""
    assert problems(files, **given) == said


@pytest.mark.parametrize(
    "tls",
    [
        {"REDIS_TLS": "true"},
        {"REDIS_PERSECOND": "true", "REDIS_PERSECOND_TLS": "true"},
        {"REDIS_PERSECOND": "true", "REDIS_PERSECOND_SOCKET_TYPE": "tcp", "REDIS_PERSECOND_URL": "rediss://h"},
    ],
    ids=",".join,
)
def test_only_files_that_are_read_are_tried(files: dict[str, str], tls: dict[str, str]) -> None:
    """Without TLS they may be what they like, as in envoyproxy/ratelimit."""
    unused = {"REDIS_TLS_CACERT": files["gone"], "REDIS_PERSECOND_TLS": "true"}
    assert load_settings(unused).redis.redis_tls_cacert == files["gone"]
    with pytest.raises(SettingsError, match="REDIS_TLS_CACERT: cannot read"):
        load_settings({**unused, **tls})
