"""Where the service listens, in how many processes, and how it ends."""

from typing import Annotated, Literal

from pydantic import Field

from ratelimit.settings.go_values import Boolean, Duration, Workers
from ratelimit.settings.group import INT32_MAX, Bound, Group, Host, Port, Positive, Wait, read_as, setting

# The reference takes a negative one, and ends with the first connection.
Age = Annotated[Duration, Field(ge=0)]
# 0 is no end there; the shortest end that is one.
Grace = Annotated[Duration, read_as(lambda value: (1e-9, "") if value < 0 else None)]


class ServerSettings(Group):
    """Listeners, their bounds, and the end."""

    host: Host = setting(
        "0.0.0.0",
        (
            "address of /healthcheck and /json: IPv4, IPv6 (`::1` or `[::1]`) or a name; empty or `::` is all "
            "interfaces of both families"
        ),
    )
    port: Port = setting(8080, "its port; 0 picks a free one")
    debug_host: Host = setting(
        "127.0.0.1", "address of /rlconfig, /stats, /metrics: loopback unless set", reference="0.0.0.0"
    )
    debug_port: Port = setting(6070, "its port")
    http_connections_max: Positive = setting(
        200,
        "connections of each HTTP listener; beyond it the one that waits longest for a request makes room",
        ours=True,
    )
    http_header_timeout: Bound = setting(
        10.0,
        ("a connection that has not sent a whole header by then, or the body within as long again, is closed"),
        ours=True,
    )
    grpc_host: Host = setting("0.0.0.0", "address of the gRPC server")
    grpc_port: Port = setting(8081, "its port")
    grpc_uds: str = setting("", "a Unix socket in place of host and port")
    grpc_transport: Literal["native", "grpcio"] = setting(
        "native",
        (
            "`native`, our own HTTP/2 and gRPC; or `grpcio`, the library's: the bounds from "
            "`GRPC_MAX_CONNECTIONS` to `GRPC_KEEPALIVE_TIMEOUT` are then its own"
        ),
        ours=True,
    )
    grpc_max_connection_age: Age = setting(
        24 * 3600.0, "after this a client is asked to connect anew (±10 %); 0 for never"
    )
    grpc_max_connection_age_grace: Grace = setting(
        3600.0, "how long its open calls may go on then; 0 without end, less not at all"
    )
    grpc_max_recv_msg_bytes: Annotated[Positive, Field(le=INT32_MAX)] = setting(
        4 * 1024 * 1024, "largest request, below 2 GiB", ours=True
    )
    grpc_max_connections: Positive = setting(
        10000, "clients at a time in one process; one more is closed at once", ours=True
    )
    grpc_max_concurrent_streams: Annotated[Positive, Field(le=INT32_MAX)] = setting(
        1000,
        (
            "open calls of one connection, those included that the client gave up and that are still worked "
            "on; one more is refused (REFUSED_STREAM)"
        ),
        ours=True,
    )
    grpc_max_header_bytes: Annotated[Positive, Field(le=INT32_MAX)] = setting(
        16 * 1024,
        (
            "header block of a request, both encoded and decoded (each field counts 32 bytes more); a larger "
            "one ends the connection"
        ),
        ours=True,
    )
    grpc_max_header_fields: Positive = setting(100, "fields of a header block, likewise", ours=True)
    grpc_max_control_frames: Positive = setting(
        1000, "answers to PING and SETTINGS, and resets, that one read of the socket may ask for", ours=True
    )
    grpc_max_glitches: Positive = setting(
        10000,
        (
            "how much a connection may cost without bringing anything: frames without use, calls reset before "
            "they were whole. 1,000 are forgiven each second and 4 with each whole call; beyond it the "
            "connection ends with ENHANCE_YOUR_CALM"
        ),
        ours=True,
    )
    grpc_max_outbound_bytes: Positive = setting(
        1024 * 1024, "what may wait for a client that does not read, before its connection is cut", ours=True
    )
    grpc_handshake_timeout: Bound = setting(5.0, "time for TLS, and for the client's first frame", ours=True)
    grpc_write_timeout: Bound = setting(
        60.0,
        (
            "how long a client may read nothing before it is cut off, and how long a complete answer may wait "
            "for its window before the call is reset"
        ),
        ours=True,
    )
    grpc_keepalive_time: Wait = setting(
        30.0, "after so long without a byte a client is asked by a PING; `0` for never", ours=True
    )
    grpc_keepalive_timeout: Bound = setting(10.0, "time for its answer", ours=True)
    grpc_reflection: Boolean = setting(True, "serve grpc.reflection v1 and v1alpha", ours=True)
    grpc_error_codes: Literal["exact", "reference"] = setting(
        "exact", "`exact`, or `reference`: every error of the service or its store is UNKNOWN (2)", ours=True
    )
    grpc_server_use_tls: Boolean = setting(False, "TLS on the gRPC port")
    grpc_server_tls_cert: str = setting("", "certificate chain (PEM), read anew when it changes")
    grpc_server_tls_key: str = setting("", "its key")
    grpc_client_tls_cacert: str = setting("", "clients must show a certificate signed by this")
    grpc_client_tls_san: str = setting("", "and it must carry this name")
    reuse_port: Boolean = setting(
        False,
        ('true: several instances may share the ports of one machine; false: the second ends with "address in use"'),
        ours=True,
    )
    workers: Workers = setting(
        1,
        (
            "processes that answer calls on the gRPC port: `1` to `256`, or `auto` for as many as there are "
            "cores to use (affinity and the cgroup's quota, rounded down). More than one, or `auto`, is "
            "refused with `BACKEND_TYPE=memory` and with `GRPC_UDS` ([operating.md](operating.md#workers))"
        ),
        ours=True,
    )
    drain_delay: Wait = setting(2.0, "after SIGTERM: NOT_SERVING, but calls are still taken, for so long", ours=True)
    drain_grace: Wait = setting(30.0, "then open calls may end within this", ours=True)
