"""Whether the service should get calls: for grpc.health.v1, and for /healthcheck.

Serving needs the store to have connected once, and no drain. A store lost later takes it away only with
REDIS_HEALTH_CHECK_ACTIVE_CONNECTION, a missing configuration only with HEALTHY_WITH_AT_LEAST_ONE_CONFIG_LOADED.
"""

from collections.abc import Callable

import structlog

from ratelimit.service.messages import SERVICE_NAME
from ratelimit.service.rlqs.messages import QUOTA_SERVICE_NAME

SERVICES = ("", "ratelimit", SERVICE_NAME, QUOTA_SERVICE_NAME)

_log = structlog.get_logger(__name__)


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

    def store_changed(self, *, connected: bool) -> None:
        """The store came or went."""
        with _Change(self):
            self._store_connected = connected
            self._store_was_connected |= connected

    def config_changed(self, *, loaded: bool) -> None:
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

    def log_changes(self) -> None:
        """One line for each change, but for the drain, which has its own.

        The first health is INFO, as everything that goes well; a loss is WARN, and so is its end, so that the last
        line at the default level is never out of date.
        """
        was_healthy = False

        def changed() -> None:
            nonlocal was_healthy
            if self.healthy:
                (_log.warning if was_healthy else _log.info)("healthy: calls are welcome")
                was_healthy = True
            elif was_healthy and not self._draining:
                _log.warning(
                    "not healthy: calls are unwelcome", store=self._store_connected, config=self._config_loaded
                )

        self.on_change(changed)

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
