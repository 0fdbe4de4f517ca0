"""The port `Source`: whoever brings configurations, a watched directory today, a control plane later."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ratelimit.descriptors.tree import Config
from ratelimit.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Listener:
    """What happens with a load, on the event loop: `loaded` for a new configuration, `failed` for a broken one.

    Each is told once: neither the same configuration nor the same error comes twice in a row. A listener that raises
    is logged and told again later; it does not end the source.
    """

    loaded: Callable[[Config], None]
    failed: Callable[[ConfigError], None]


class Source(Protocol):
    """Brings whole, verified configurations to one listener, and keeps bringing them whatever goes wrong."""

    async def start(self) -> None:
        """Try to load once, tell the listener, then follow the changes.

        Raises ConfigError only where no configuration can ever come; a broken one is told to the listener.
        """

    async def close(self) -> None:
        """End it, also in the middle of a load; the listener hears nothing more. Does not raise for its failures."""
