import asyncio
import subprocess
from pathlib import Path

import grpc.aio
import pytest

from ratelimit.settings import ServerSettings
from ratelimit.transport.tls import server_credentials
from tests.transport.test_grpcio_server import PATH, serve


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


async def test_a_renewed_certificate_is_used_and_a_broken_pair_is_not(tmp_path: Path) -> None:
    """New handshakes use the new pair; between the two renames the old one stays."""
    certificate_path, key_path = certificate(tmp_path, "server", "IP:127.0.0.1")
    settings = ServerSettings(
        grpc_host="127.0.0.1",
        grpc_port=0,
        grpc_server_use_tls=True,
        grpc_server_tls_cert=certificate_path,
        grpc_server_tls_key=key_path,
    )
    server = await serve(settings)
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


async def test_clients_need_the_right_certificate(tmp_path: Path) -> None:
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
    server = await serve(settings)
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
