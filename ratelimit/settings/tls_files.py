"""Files of TLS: whether they can be read, so that one that cannot ends the start, and what a client makes of them."""

import ssl
from collections.abc import Callable


def unreadable_pair(cert: str, key: str) -> str:
    """Why certificate and key (PEM) are no pair; empty where they are, or where one is not given."""
    if not cert or not key:
        return ""
    return _tried(lambda context: context.load_cert_chain(cert, key), f"{cert} with {key}")


def unreadable_authority(cacert: str) -> str:
    """Why a file holds no authority's certificate (PEM); empty where it does, or is not given."""
    return cacert and _tried(lambda context: context.load_verify_locations(cacert), cacert)


def client_context(cert: str, key: str, cacert: str, *, check_hostname: bool) -> ssl.SSLContext:
    """What a client speaks TLS with; empty paths for no certificate, and for the system's authorities.

    Raises OSError (ssl.SSLError among them).
    """
    context = ssl.create_default_context(cafile=cacert or None)
    context.check_hostname = check_hostname
    if cert and key:
        context.load_cert_chain(cert, key)
    return context


def _tried(read: Callable[[ssl.SSLContext], None], what: str) -> str:
    try:
        read(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", "") or getattr(error, "strerror", "") or str(error)
        return f"cannot be used: {reason} ({what})"
    return ""
