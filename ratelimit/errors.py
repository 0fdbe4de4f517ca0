"""Every error this package raises, split by whose fault it is.

    RateLimitError
    ├── ConfigError      a configuration file is wrong: carries file, line, column and key path
    ├── SettingsError    an environment variable is wrong: carries its name
    ├── StoreError       the counter store did not answer: `transient`, `outcome_unknown`
    ├── LogError         an access log, or what is said of its fields, cannot be replayed
    ├── RpcError         a call ends with this gRPC status: the caller's fault, or a StoreError on its way out
    ├── ConnectionViolation  the peer broke HTTP/2: the connection ends with GOAWAY
    └── StreamViolation      the peer broke HTTP/2 within one stream: it ends with RST_STREAM

Being over a limit is a decision, never an exception.
"""

from collections.abc import Sequence
from enum import IntEnum


class RateLimitError(Exception):
    """The root of the tree; nothing raises it itself."""


class ConfigError(RateLimitError):
    """A configuration file cannot be used.

    At start-up and in `ratelimit check` it is shown; at a reload the configuration before it stays.
    `str()` reads ``file:line: key path: what is wrong``, without the parts that are not known.
    """

    def __init__(self, reason: str, *, file: str = "", line: int | None = None, key_path: str = "") -> None:
        self.reason = reason
        self.file = file
        self.line = line
        self.key_path = key_path
        place = ":".join(str(part) for part in (file, line) if part)
        super().__init__(": ".join(part for part in (place, key_path, reason) if part))


class SettingsError(RateLimitError):
    """Environment variables cannot be used; `problems` holds one (name, what is wrong) for each."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in self.problems))


class StoreError(RateLimitError):
    """The counter store failed to count a batch.

    `transient`: another try later may succeed. `outcome_unknown`: the command was sent and no answer came, so the
    hits may or may not be counted; such a batch is never sent again.
    """

    def __init__(self, reason: str, *, transient: bool = True, outcome_unknown: bool = False) -> None:
        self.reason = reason
        self.transient = transient
        self.outcome_unknown = outcome_unknown
        super().__init__(reason)


class LogError(RateLimitError):
    """An access log cannot be replayed: it cannot be read, or what is said of its fields makes no requests."""


class GrpcStatus(IntEnum):
    """The gRPC status codes this service answers with (github.com/grpc/grpc, doc/statuscodes.md)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class RpcError(RateLimitError):
    """One call ends with `grpc_status` and `details` as its message."""

    def __init__(self, grpc_status: GrpcStatus, details: str) -> None:
        self.grpc_status = grpc_status
        self.details = details
        super().__init__(f"{grpc_status.name}: {details}")


class ConnectionViolation(RateLimitError):  # noqa: N818 - what the peer did, and the field's own word
    """The peer broke HTTP/2 for the whole connection: GOAWAY with `code` (RFC 9113 §5.4.1)."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


class StreamViolation(RateLimitError):  # noqa: N818 - likewise
    """The peer broke HTTP/2 within one stream: RST_STREAM with `code` (RFC 9113 §5.4.2)."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)
