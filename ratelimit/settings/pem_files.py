"""The PEM files of TLS, tried at the start as TLS will use them: what can never work ends it.

Each function says what is wrong with a file, an empty text for nothing.
"""

import ssl
from pathlib import Path


def certificate_trouble(path: str) -> str:
    """About a file of certificates."""
    text, trouble = _read(path)
    if not trouble:
        try:
            _context().load_verify_locations(cadata=text)
        except ssl.SSLError:
            trouble = "no certificate in PEM format is in the file"
    return trouble


def key_trouble(path: str, certificate: str, variable: str) -> str:
    """About the key of a certificate, whose file is in order; `variable` names that one."""
    _, trouble = _read(path)
    if not trouble:
        try:
            _context().load_cert_chain(certificate, path, _no_password)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                return f"it is not the key of {variable}"
            trouble = "no private key in PEM format without a password is in the file"
    return trouble


def client_context(cert: str, key: str, cacert: str, *, check_hostname: bool) -> ssl.SSLContext:
    """What a client speaks TLS with; empty paths for no certificate, and for the system's authorities.

    Raises OSError (ssl.SSLError among them).
    """
    context = ssl.create_default_context(cafile=cacert or None)
    context.check_hostname = check_hostname
    if cert and key:
        context.load_cert_chain(cert, key, _no_password)
    return context


def _no_password() -> bytes:
    """Else a key with one would be asked for at the terminal."""
    return b""


def _read(path: str) -> tuple[str, str]:
    try:
        return Path(path).read_text(encoding="ascii", errors="ignore"), ""
    except (OSError, ValueError) as error:
        return "", f"cannot read the file: {getattr(error, 'strerror', None) or error}"


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
