"""Addresses to listen on, in every notation that people write: `0.0.0.0`, `::`, `[::]`, empty for all interfaces."""

import ipaddress
import re

_NAME = re.compile(r"[A-Za-z0-9._-]*")
_PORT_MAX = 65535


def host(value: object) -> object:
    """A host without brackets; empty for all interfaces. Raises ValueError."""
    if not isinstance(value, str):
        return value
    bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    if ":" in bare or bare != value:
        try:
            ipaddress.IPv6Address(bare)
        except ValueError:
            raise ValueError("a host without a port is wanted: a name, an IPv4 or an IPv6 address") from None
    elif not _NAME.fullmatch(bare):
        raise ValueError("a host is wanted: a name, an IPv4 or an IPv6 address")
    return bare


def host_and_port(text: str) -> tuple[str, int]:
    """Host and port of `:9090`, `0.0.0.0:9090` or `[::]:9090`. Raises ValueError."""
    before, colon, port = text.rpartition(":")
    bare_ipv6 = ":" in before and not before.startswith("[")
    if not colon or bare_ipv6 or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > _PORT_MAX:
        raise ValueError("host:port or :port is wanted")
    return str(host(before)), int(port)


def joined(host: str, port: int) -> str:
    """`host:port` as a URL has it, with brackets for IPv6; all interfaces for an empty host."""
    return f"[{host or '::'}]:{port}" if ":" in (host or "::") else f"{host}:{port}"
