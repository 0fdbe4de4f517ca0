"""TLS of the gRPC server: certificates read anew when they change, and the name a client certificate must carry."""

import ssl
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import grpc

from ratelimit.settings import ServerSettings


def server_credentials(settings: ServerSettings) -> grpc.ServerCredentials:
    """Credentials that follow the files; a pair that does not fit keeps the one before. Raises OSError at first."""
    held = _read(settings)

    def fetch() -> Any:
        nonlocal held
        try:
            fresh = _read(settings)
        except OSError:
            return None
        if fresh == held:
            return None
        held = fresh
        return _configuration(fresh)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(held), fetch, require_client_authentication=bool(settings.grpc_client_tls_cacert)
    )


def client_is_allowed(auth_context: Mapping[str, Iterable[bytes]], san: str) -> bool:
    """Whether the client's certificate carries `san` (GRPC_CLIENT_TLS_SAN) among its subject alternative names."""
    return san.encode() in auth_context.get("x509_subject_alternative_name", ())


_Files = tuple[bytes, bytes, bytes | None]


def _read(settings: ServerSettings) -> _Files:
    certificate = _file(settings.grpc_server_tls_cert, "GRPC_SERVER_TLS_CERT")
    key = _file(settings.grpc_server_tls_key, "GRPC_SERVER_TLS_KEY")
    authority = settings.grpc_client_tls_cacert
    _verify_pair(certificate, key)
    return certificate, key, _file(authority, "GRPC_CLIENT_TLS_CACERT") if authority else None


def _file(path: str, name: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise OSError(f"{name}: cannot read {path}: {error.strerror}") from None


def _verify_pair(certificate: bytes, key: bytes) -> None:
    """Load the pair as a server would: between the renaming of one file and the other they do not fit."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("certificate", "key")]
        for path, content in zip(paths, (certificate, key), strict=True):
            path.touch(mode=0o600)
            path.write_bytes(content)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(paths[0], paths[1])
        except ssl.SSLError as error:
            raise OSError(f"GRPC_SERVER_TLS_CERT and GRPC_SERVER_TLS_KEY do not fit together: {error}") from None


def _configuration(files: _Files) -> grpc.ServerCertificateConfiguration:
    certificate, key, authority = files
    return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=authority)
