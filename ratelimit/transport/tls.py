"""TLS of the gRPC server: certificates read anew when they change, and the name a client certificate must carry.

Each handshake asks whether there are new files. Each time they are only looked at (`stat`); when one is another than
before, all are read and tried as a server would, with Python's `ssl` on the very paths, since it takes nothing else: no
copy of the key is ever written. A pair that is caught between its two renames is told by looking
again after: files that changed meanwhile are another try's.
"""

import ssl
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import structlog

from ratelimit.settings import ServerSettings

ALPN = "h2"

_log = structlog.get_logger(__name__)


def server_credentials(settings: ServerSettings) -> grpc.ServerCredentials:
    """Credentials that follow the files; a pair that does not fit keeps the one before. Raises OSError at first."""
    files = CertificateFiles(settings)

    def renewed() -> Any:  # None for nothing new, which the stubs do not know
        fresh = files.renewed()
        return fresh and fresh.for_grpcio()

    return grpc.dynamic_ssl_server_credentials(
        files.load().for_grpcio(), renewed, require_client_authentication=bool(settings.grpc_client_tls_cacert)
    )


def serving_context(files: "CertificateFiles") -> ssl.SSLContext:
    """A context for Python's own TLS that follows the files likewise. Raises OSError at first."""
    first = current = files.load().context

    def choose(handshake: Any, _: str | None, __: ssl.SSLContext) -> None:
        nonlocal current
        fresh = files.renewed()
        current = fresh.context if fresh is not None else current
        if current is not first:
            handshake.context = current

    first.sni_callback = choose  # called for clients without a server name too
    return first


def client_is_allowed(auth_context: Mapping[str, Iterable[bytes]], san: str) -> bool:
    """Whether the client's certificate carries `san` (GRPC_CLIENT_TLS_SAN) among its subject alternative names."""
    return san.encode() in auth_context.get("x509_subject_alternative_name", ())


@dataclass(frozen=True, slots=True)
class _File:
    variable: str
    path: str

    def state(self) -> tuple[int, ...]:
        """Another value whenever the file is another one, or another text; empty while there is none."""
        try:
            found = Path(self.path).stat()
        except OSError:
            return ()
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size

    def read(self) -> bytes:
        try:
            return Path(self.path).read_bytes()
        except OSError as error:
            raise OSError(f"{self.variable}: cannot read {self.path}: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the files held, and a context of Python's `ssl` made from them."""

    certificate: bytes
    key: bytes
    authority: bytes | None
    context: ssl.SSLContext

    def for_grpcio(self) -> grpc.ServerCertificateConfiguration:
        """The same for grpcio."""
        pair = (self.key, self.certificate)
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=self.authority)


class CertificateFiles:
    """Certificate chain, key and perhaps an authority for clients. `renewed` may be called from any thread."""

    def __init__(self, settings: ServerSettings) -> None:
        self._certificate = _File("GRPC_SERVER_TLS_CERT", settings.grpc_server_tls_cert)
        self._key = _File("GRPC_SERVER_TLS_KEY", settings.grpc_server_tls_key)
        authority = settings.grpc_client_tls_cacert
        self._authority = _File("GRPC_CLIENT_TLS_CACERT", authority) if authority else None
        self._tried: tuple[tuple[int, ...], ...] = ()
        self._refused = False
        self._one_at_a_time = threading.Lock()

    def load(self) -> Certificates:
        """The files as they are now. Raises OSError naming what is wrong."""
        tried = self._states()
        certificate, key = self._certificate.read(), self._key.read()
        authority = self._authority.read() if self._authority else None
        context = self._try()
        if tried != self._states():
            raise OSError("the certificate's files are being changed")
        self._tried = tried
        return Certificates(certificate, key, authority, context)

    def renewed(self) -> Certificates | None:
        """The files where they changed since the last look and can be used; else None, and those before stay."""
        with self._one_at_a_time:
            states = self._states()
            if states == self._tried:
                return None
            try:
                fresh = self.load()
            except OSError as error:
                if states == self._states():  # else they were caught in the middle: the next handshake looks again
                    self._tried, self._refused = states, True
                    _log.warning("the new TLS certificate cannot be used, the one before stays", reason=str(error))
                return None
            # Whoever was warned must hear of the end; a renewal as such is no news.
            (_log.warning if self._refused else _log.info)("a new TLS certificate is in use")
            self._refused = False
            return fresh

    def _states(self) -> tuple[tuple[int, ...], ...]:
        return tuple(file.state() for file in (self._certificate, self._key, self._authority) if file)

    def _try(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols([ALPN])
        try:
            # An encrypted key asks for its password on the terminal, unless it is given one.
            context.load_cert_chain(self._certificate.path, self._key.path, password="")
        except (OSError, ValueError) as error:
            names = f"{self._certificate.variable} and {self._key.variable}"
            raise OSError(f"{names} do not fit together: {error}") from None
        if self._authority is None:
            return context
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(self._authority.path)
        except OSError as error:
            raise OSError(f"{self._authority.variable}: no certificate of an authority: {error}") from None
        return context
