"""Which method serves a path: direct ones, and the handlers that grpcio's generated code registers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ratelimit.transport.grpc import CallHead, read_head
from ratelimit.transport.methods import DirectMethod
from ratelimit.transport.servicer import CoroutineMethod, log_once


class _HandlerCallDetails:
    """What a generic handler looks at (grpc.HandlerCallDetails), but for metadata: a path has one method."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata = ()


class MethodTable:
    """Filled before the server starts."""

    def __init__(self) -> None:
        self._direct: dict[str, DirectMethod] = {}
        self._registered: dict[str, CoroutineMethod] = {}
        self._generic: list[Callable[[Any], Any]] = []

    def add_direct(self, path: str, method: DirectMethod) -> None:
        """Serve `path` by a direct method."""
        self._direct[path] = method

    def add_registered(self, service_name: str, handlers: Mapping[str, Any]) -> None:
        """Serve the methods of a service by handlers of grpcio's kind. Raises TypeError."""
        for name, handler in handlers.items():
            path = f"/{service_name}/{name}"
            self._registered[path] = CoroutineMethod(handler, path)

    def add_generic(self, handlers: Sequence[Any]) -> None:
        """Ask these handlers for the paths that nobody else serves."""
        self._generic += [handler.service for handler in handlers]

    def judge(self, fields: Mapping[bytes, bytes]) -> CallHead:
        """What the meaningful fields of a request's head mean, and who serves it."""
        head = read_head(fields)
        if head.refusal is None:
            head.direct = self._direct.get(head.path)
            head.method = head.direct or self._registered.get(head.path) or self._found(head.path)
        return head

    def _found(self, path: str) -> CoroutineMethod | None:
        details = _HandlerCallDetails(path)
        try:
            handler = next((found for service in self._generic if (found := service(details)) is not None), None)
            return None if handler is None else CoroutineMethod(handler, path)
        except Exception as error:  # noqa: BLE001 - a path comes from a peer, a handler from anywhere
            log_once(path, error)
            return None
