from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from ratelimit.transport.grpc import CallHead
from ratelimit.transport.method_table import MethodTable
from ratelimit.transport.servicer import CoroutineMethod


def judged(table: MethodTable, path: str, method: bytes = b"POST") -> CallHead:
    """What a gRPC request to `path` means."""
    return table.judge({b":method": method, b":path": path.encode(), b"content-type": b"application/grpc"})


async def say(_: bytes, __: object) -> bytes:
    """A method of a service."""
    return b""


def direct(*_: object) -> None:
    """A direct method."""


HANDLERS: dict[str, Any] = {"Say": grpc.unary_unary_rpc_method_handler(say)}


def test_a_direct_method_comes_first() -> None:
    """Before a handler that was registered for the same path."""
    table = MethodTable()
    table.add_registered("test.Echo", HANDLERS)
    table.add_direct("/test.Echo/Say", direct)
    head = judged(table, "/test.Echo/Say")
    assert head.direct is head.method is direct


@pytest.mark.parametrize("generic", [True, False], ids=["generic", "registered"])
def test_handlers_of_grpcio_serve_their_paths(generic: bool) -> None:
    """Both ways in which generated code adds them; a path that is not theirs has no method."""
    table = MethodTable()
    if generic:
        table.add_generic((grpc.method_handlers_generic_handler("test.Echo", HANDLERS),))
    else:
        table.add_registered("test.Echo", HANDLERS)
    head = judged(table, "/test.Echo/Say")
    assert isinstance(head.method, CoroutineMethod)
    assert (head.method.behaviour, head.direct) == (say, None)
    for unknown in ("/test.Echo/Sing", "/test.Other/Say", "test.Echo/Say", "/"):
        assert judged(table, unknown).method is None


def test_what_is_refused_has_no_method() -> None:
    """Nobody serves a call that is no gRPC."""
    table = MethodTable()
    table.add_direct("/test.Echo/Say", direct)
    head = judged(table, "/test.Echo/Say", b"GET")
    assert head.refusal is not None
    assert (head.method, head.direct) == (None, None)


def test_a_handler_that_is_no_coroutine_is_an_error_at_once() -> None:
    """A thread per call is not what this server has; the path is named."""
    with pytest.raises(TypeError, match=r"/test\.Echo/Say: the method must be a coroutine function"):
        MethodTable().add_registered("test.Echo", {"Say": grpc.unary_unary_rpc_method_handler(direct)})


def test_a_generic_handler_that_fails_is_nobody() -> None:
    """Its path is answered as unknown, and the fault is logged with the path."""

    class Failing:
        def service(self, _: object) -> None:
            raise RuntimeError("no")

    table = MethodTable()
    table.add_generic((Failing(),))
    with capture_logs() as logs:
        assert judged(table, "/test.Failing/Say").method is None
    assert [log["method"] for log in logs] == ["/test.Failing/Say"]
