"""Whether the service should get calls: for grpc.health.v1, and for /healthcheck.

Serving needs the store to have connected once, and no drain. A store lost later takes it away only with
REDIS_HEALTH_CHECK_ACTIVE_CONNECTION, a missing configuration only with HEALTHY_WITH_AT_LEAST_ONE_CONFIG_LOADED.
"""

from collections.abc import Callable

from ratelimit.service.messages import SERVICE_NAME

SERVICES = ("", "ratelimit", SERVICE_NAME)


class Health:
    """The state of the parts, and from it the state of the whole."""

    def __init__(self, *, needs_active_store: bool = False, needs_config: bool = False) -> None:
        self._needs_active_store = needs_active_store
        self._needs_config = needs_config
        self._store_connected = False
        self._store_was_connected = False
        self._config_loaded = False
        self._draining = False
        self._listeners: list[Callable[[], None]] = []

    @property
    def healthy(self) -> bool:
        """Whether calls are welcome."""
        store = self._store_connected if self._needs_active_store else self._store_was_connected
        return store and not self._draining and (self._config_loaded or not self._needs_config)

    def store(self, *, connected: bool) -> None:
        """The store came or went."""
        with _Change(self):
            self._store_connected = connected
            self._store_was_connected |= connected

    def config(self, *, loaded: bool) -> None:
        """A configuration with at least one domain is in force, or none is."""
        with _Change(self):
            self._config_loaded = loaded

    def drain(self) -> None:
        """From now on no new calls are welcome; there is no way back."""
        with _Change(self):
            self._draining = True

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` now and at every change of `healthy`."""
        self._listeners.append(listener)
        listener()

    def notify(self) -> None:
        """Tell every listener."""
        for listener in self._listeners:
            listener()


class _Change:
    def __init__(self, health: Health) -> None:
        self._health = health
        self._before = health.healthy

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self._health.healthy != self._before:
            self._health.notify()
