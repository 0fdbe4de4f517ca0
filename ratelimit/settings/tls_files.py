"""The PEM files of REDIS_TLS_*, tried at the start as TLS will use them: what can never work ends it.

Only where TLS is spoken: files that nothing reads may be what they like. Each function gets the group of settings and
says what is wrong, None for nothing.
"""

import ssl
from pathlib import Path
from typing import Any

# The fields that say whether TLS is spoken.
TLS_ON = ("redis_tls", "redis_url", "redis_persecond", "redis_persecond_tls", "redis_persecond_url")


def pair_trouble(group: Any) -> str | None:
    """About REDIS_TLS_CLIENT_CERT and REDIS_TLS_CLIENT_KEY together."""
    whole = bool(group.redis_tls_client_cert) == bool(group.redis_tls_client_key)
    return None if whole else "REDIS_TLS_CLIENT_CERT and REDIS_TLS_CLIENT_KEY belong together, and one is missing"


def cacert_trouble(group: Any) -> str | None:
    """About REDIS_TLS_CACERT."""
    return _certificates(group.redis_tls_cacert) if group.redis_tls_cacert and _speaks_tls(group) else None


def client_cert_trouble(group: Any) -> str | None:
    """About REDIS_TLS_CLIENT_CERT."""
    return _certificates(group.redis_tls_client_cert) if group.redis_tls_client_cert and _speaks_tls(group) else None


def client_key_trouble(group: Any) -> str | None:
    """About REDIS_TLS_CLIENT_KEY, where its certificate is in order."""
    cert, key = group.redis_tls_client_cert, group.redis_tls_client_key
    return _key(key, cert) if cert and key and _speaks_tls(group) and not _certificates(cert) else None


def _speaks_tls(group: Any) -> bool:
    per_second = group.redis_persecond
    urls = (group.redis_url, group.redis_persecond_url if per_second else "")
    by_url = any("rediss://" in url.lower() for url in urls)
    return bool(by_url or group.redis_tls or (per_second and group.redis_persecond_tls))


def _certificates(path: str) -> str | None:
    text, trouble = _read(path)
    if trouble is None:
        try:
            _context().load_verify_locations(cadata=text)
        except ssl.SSLError:
            trouble = "no certificate in PEM format is in the file"
    return trouble


def _key(path: str, certificate: str) -> str | None:
    _, trouble = _read(path)
    if trouble is None:
        try:
            _context().load_cert_chain(certificate, path, password=lambda: b"")  # it would ask at the terminal
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                return "it is not the key of REDIS_TLS_CLIENT_CERT"
            trouble = "no private key in PEM format without a password is in the file"
    return trouble


def _read(path: str) -> tuple[str, str | None]:
    try:
        return Path(path).read_text(encoding="ascii", errors="ignore"), None
    except (OSError, ValueError) as error:
        return "", f"cannot read the file: {getattr(error, 'strerror', None) or error}"


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
