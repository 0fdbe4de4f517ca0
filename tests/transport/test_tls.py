import asyncio
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from structlog.testing import capture_logs

from ratelimit.settings import ServerSettings
from ratelimit.transport.tls import CertificateFiles, server_credentials
from tests.transport.server_contract import PATH, ServerContract
from tests.transport.test_grpcio_server import TestGrpcioServer as Grpcio
from tests.transport.test_native_server import TestNativeServer as Native

both_servers = pytest.mark.parametrize("contract", [Grpcio(), Native()], ids=["grpcio", "native"])


def certificate(folder: Path, name: str, san: str, authority: str | None = None) -> tuple[str, str]:
    """A key and a certificate for `san`, signed by itself or by `authority`: their paths."""
    key, signed = folder / f"{name}.key", folder / f"{name}.crt"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", f"subjectAltName={san}", "-keyout", str(key), "-out", str(signed)]
    if authority:
        command += ["-CA", str(folder / f"{authority}.crt"), "-CAkey", str(folder / f"{authority}.key")]
    subprocess.run(command, check=True, capture_output=True)
    return str(signed), str(key)


def supports_ca_option() -> bool:
    """OpenSSL 3 signs with a given authority in one step."""
    return subprocess.run(["openssl", "version"], check=True, capture_output=True).stdout.startswith(b"OpenSSL 3")


async def call(port: int, authority: str, client: tuple[str, str] | None = None) -> bytes:
    """One call over TLS."""
    pair = (Path(client[1]).read_bytes(), Path(client[0]).read_bytes()) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(Path(authority).read_bytes(), *pair)
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        return bytes(await asyncio.wait_for(channel.unary_unary(PATH)(b"hi"), 30))


@both_servers
async def test_a_renewed_certificate_is_used_and_a_broken_pair_is_not(tmp_path: Path, contract: ServerContract) -> None:
    """New handshakes use the new pair; between the two renames the old one stays."""
    certificate_path, key_path = certificate(tmp_path, "server", "IP:127.0.0.1")
    settings = ServerSettings(
        grpc_host="127.0.0.1",
        grpc_port=0,
        grpc_server_use_tls=True,
        grpc_server_tls_cert=certificate_path,
        grpc_server_tls_key=key_path,
    )
    server = await contract.serve(settings)
    old = tmp_path / "old.crt"
    old.write_bytes(Path(certificate_path).read_bytes())
    assert await call(server.port, str(old)) == b"hi"
    renewed, renewed_key = certificate(tmp_path, "renewed", "IP:127.0.0.1")
    Path(renewed).rename(certificate_path)
    assert await call(server.port, str(old)) == b"hi"
    Path(renewed_key).rename(key_path)
    assert await call(server.port, certificate_path) == b"hi"
    with pytest.raises(grpc.aio.AioRpcError):
        await call(server.port, str(old))
    await server.stop(0)


@both_servers
async def test_clients_need_the_right_certificate(tmp_path: Path, contract: ServerContract) -> None:
    """None, a foreign one and one with the wrong name are UNAVAILABLE."""
    if not supports_ca_option():
        pytest.skip("openssl is older than 3")
    authority, _ = certificate(tmp_path, "authority", "DNS:authority")
    cert, key = certificate(tmp_path, "server", "IP:127.0.0.1", "authority")
    good = certificate(tmp_path, "good", "DNS:envoy", "authority")
    wrong = certificate(tmp_path, "wrong", "DNS:other", "authority")
    foreign = certificate(tmp_path, "foreign", "DNS:envoy")
    settings = ServerSettings(
        grpc_host="127.0.0.1",
        grpc_port=0,
        grpc_server_use_tls=True,
        grpc_server_tls_cert=cert,
        grpc_server_tls_key=key,
        grpc_client_tls_cacert=authority,
        grpc_client_tls_san="envoy",
    )
    server = await contract.serve(settings)
    assert await call(server.port, authority, good) == b"hi"
    for client in (None, wrong, foreign):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(server.port, authority, client)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await server.stop(0)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The variable and the path."""
    settings = ServerSettings(
        grpc_server_use_tls=True, grpc_server_tls_cert=str(tmp_path / "none"), grpc_server_tls_key="none"
    )
    with pytest.raises(OSError, match=r"GRPC_SERVER_TLS_CERT: cannot read .*none"):
        server_credentials(settings)


def settings_of(pair: tuple[str, str], authority: str = "") -> ServerSettings:
    """A server with these files."""
    return ServerSettings(
        grpc_server_use_tls=True,
        grpc_server_tls_cert=pair[0],
        grpc_server_tls_key=pair[1],
        grpc_client_tls_cacert=authority,
    )


def renew(pair: tuple[str, str], fresh: tuple[str, str]) -> None:
    """Put the fresh files in the place of the old ones."""
    for old, new in zip(pair, fresh, strict=True):
        Path(new).rename(old)


def test_no_copy_of_the_key_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only root file system has no place for temporary files."""
    pair = certificate(tmp_path, "server", "IP:127.0.0.1")
    fresh = certificate(tmp_path, "fresh", "IP:127.0.0.1")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    files = CertificateFiles(settings_of(pair))
    files.load()
    renew(pair, fresh)
    assert files.renewed() is not None


def test_a_handshake_reads_nothing_while_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are read and tried once for each change, a refused pair too."""
    pair = certificate(tmp_path, "server", "IP:127.0.0.1")
    files = CertificateFiles(settings_of(pair))
    files.load()
    tries: list[object] = []
    trying = ssl.SSLContext.load_cert_chain

    def counted(*args: Any, **named: Any) -> None:
        tries.append(args)
        trying(*args, **named)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", counted)
    assert [files.renewed() for _ in range(100)] == [None] * 100
    assert tries == []
    Path(certificate(tmp_path, "fresh", "IP:127.0.0.1")[0]).rename(pair[0])
    assert [files.renewed() for _ in range(100)] == [None] * 100
    assert len(tries) == 1


def test_a_refused_pair_is_told_once_and_so_is_its_end(tmp_path: Path) -> None:
    """Both at the level that the default shows; a renewal without trouble is INFO."""
    pair = certificate(tmp_path, "server", "IP:127.0.0.1")
    fresh, later = (certificate(tmp_path, name, "IP:127.0.0.1") for name in ("fresh", "later"))
    files = CertificateFiles(settings_of(pair))
    files.load()
    with capture_logs() as logs:
        Path(fresh[0]).rename(pair[0])
        assert [files.renewed(), files.renewed()] == [None, None]
        Path(fresh[1]).rename(pair[1])
        assert files.renewed() is not None
        renew(pair, later)
        assert files.renewed() is not None
    assert [(line["log_level"], "cannot" in line["event"]) for line in logs] == [
        ("warning", True),
        ("warning", False),
        ("info", False),
    ]


def test_files_that_go_away_keep_the_pair(tmp_path: Path) -> None:
    """A secret that is unmounted for a moment ends nothing."""
    pair = certificate(tmp_path, "server", "IP:127.0.0.1")
    files = CertificateFiles(settings_of(pair))
    files.load()
    Path(pair[1]).rename(tmp_path / "away")
    assert files.renewed() is None
    (tmp_path / "away").rename(pair[1])
    assert files.renewed() is not None


def test_files_that_change_while_they_are_read_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was tried is what was read: certificate and key never come from two generations."""
    pair = certificate(tmp_path, "server", "IP:127.0.0.1")
    fresh = certificate(tmp_path, "fresh", "IP:127.0.0.1")
    files = CertificateFiles(settings_of(pair))
    files.load()
    Path(pair[0]).touch()
    reading = Path.read_bytes

    def read_before_a_rename(path: Path) -> bytes:
        found = reading(path)
        if str(path) == pair[0]:
            renew(pair, fresh)
        return found

    monkeypatch.setattr(Path, "read_bytes", read_before_a_rename)
    with capture_logs() as logs:
        assert files.renewed() is None
        monkeypatch.undo()
        assert files.renewed() is not None
    assert [line["log_level"] for line in logs] == ["info"]


def test_what_cannot_be_used_at_the_start_is_named(tmp_path: Path) -> None:
    """A foreign key, a key with a password, which nobody is there to type, and an authority that is none."""
    one, two = (certificate(tmp_path, name, "IP:127.0.0.1") for name in ("one", "two"))
    locked = tmp_path / "locked.key"
    subprocess.run(["openssl", "rsa", "-aes128", "-passout", "pass:x", "-in", one[1], "-out", locked], check=True)
    for pair in ((one[0], two[1]), (one[0], str(locked)), (one[1], one[1])):
        with pytest.raises(OSError, match="GRPC_SERVER_TLS_CERT and GRPC_SERVER_TLS_KEY do not fit"):
            CertificateFiles(settings_of(pair)).load()
    with pytest.raises(OSError, match="GRPC_CLIENT_TLS_CACERT"):
        CertificateFiles(settings_of(one, one[1])).load()
