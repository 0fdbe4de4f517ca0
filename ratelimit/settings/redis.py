"""Redis or Valkey, and the second one for limits per second."""

from dataclasses import replace
from typing import Annotated, Any, cast

from ratelimit.settings.go_values import Boolean, Duration, Integer
from ratelimit.settings.group import Group, Upper, at_least, read_as, setting
from ratelimit.settings.redis_place import Access, Backoff, RedisPlace, TlsFiles, Topology, servers_of
from ratelimit.settings.redis_url import RedisTarget

ONE_CONNECTION = "one multiplexed connection to each server serves"
ONE_TICK = "what comes in one tick of the event loop is one batch"
# No call may wait for the store without end.
TIMEOUT_S_MAX = 10.0


def _socket_type(value: str) -> tuple[str, str] | None:
    return ("tcp", "addresses of both families are tried, as with tcp") if value in {"tcp4", "tcp6"} else None


def _timeout(value: float) -> tuple[float, str] | None:
    return (TIMEOUT_S_MAX, "no call waits without end: 10s it is") if value <= 0 else None


# Any text where the store is not used: rules.py looks at it where it is.
SocketType = Annotated[str, read_as(_socket_type)]
Timeout = Annotated[Duration, read_as(_timeout)]
Pause = Annotated[Duration, at_least(0)]


class RedisSettings(Group):
    """The counter store with BACKEND_TYPE=redis."""

    redis_socket_type: SocketType = setting("unix", "`tcp` or `unix`")
    redis_type: Annotated[str, Upper] = setting("SINGLE", "`SINGLE`, `SENTINEL` or `CLUSTER`")
    redis_url: str = setting(
        "/var/run/nutcracker/ratelimit.sock",
        (
            "`host:port`, `redis://user:password@host:port/db`, `rediss://…`, or the path of the socket; with "
            "`REDIS_TYPE=SENTINEL` `mastername,host:port,…`, the sentinels of that master; with `CLUSTER` some of "
            "its nodes, `host:port,…`; one that can never "
            "work ends the start"
        ),
        secret=True,
    )
    redis_auth: str = setting(
        "", "`password` or `user:password`; a password in `REDIS_URL` goes before it", secret=True
    )
    redis_sentinel_auth: str = setting(
        "", "`password` or `user:password` for the sentinels, which never get `REDIS_AUTH`", secret=True
    )
    redis_tls: Boolean = setting(False, "TLS to the store")
    redis_tls_client_cert: str = setting("", "client certificate")
    redis_tls_client_key: str = setting("", "its key")
    redis_tls_cacert: str = setting("", "authority of the store's certificate; the system's without it")
    redis_tls_skip_hostname_verification: Boolean = setting(False, "do not check the name in the certificate")
    redis_timeout: Timeout = setting(
        0.01, "deadline of a call to the store, waiting included; keep it below Envoy's filter timeout", reference="10s"
    )
    redis_health_check_active_connection: Boolean = setting(
        False, "not healthy while the store is away, also after the first connection"
    )
    redis_close_connection_on_readonly_error: Boolean = setting(
        False, "", no_effect="a server that became a replica is always left"
    )
    redis_startup_initial_interval: Pause = setting(
        1.0, "first wait between tries to connect at the start; at least 50 ms, whatever it says"
    )
    redis_startup_max_interval: Pause = setting(30.0, "longest wait")
    redis_startup_max_elapsed_time: Pause = setting(0.0, "give up (exit code 1) after this; 0 never")
    redis_pool_size: Integer = setting(10, "", no_effect=ONE_CONNECTION)
    redis_pool_on_empty_behavior: str = setting("WAIT", "", no_effect=ONE_CONNECTION)
    redis_pipeline_window: Duration = setting(0.0, "", no_effect=ONE_TICK)
    redis_pipeline_limit: Integer = setting(0, "", no_effect=ONE_TICK)
    redis_cluster_pipeline_parallelism: Integer = setting(1, "", no_effect=ONE_CONNECTION)
    redis_persecond: Boolean = setting(
        False,
        ("count limits per second in a store of their own; groups that are charged all or none stay in the main one"),
    )
    redis_persecond_socket_type: SocketType = setting(
        "unix", "as `REDIS_SOCKET_TYPE`, for the store of limits per second; so are all that follow"
    )
    redis_persecond_type: Annotated[str, Upper] = setting("SINGLE", "as `REDIS_TYPE`")
    redis_persecond_url: str = setting(
        "/var/run/nutcracker/ratelimitpersecond.sock",
        "as `REDIS_URL`; never dialled while `REDIS_PERSECOND` is false",
        secret=True,
    )
    redis_persecond_auth: str = setting("", "as `REDIS_AUTH`", secret=True)
    redis_persecond_sentinel_auth: str = setting("", "as `REDIS_SENTINEL_AUTH`", secret=True)
    redis_persecond_tls: Boolean = setting(False, "as `REDIS_TLS`, with the same files")
    redis_persecond_timeout: Timeout = setting(0.01, "as `REDIS_TIMEOUT`", reference="10s")
    redis_persecond_pool_size: Integer = setting(10, "", no_effect=ONE_CONNECTION)
    redis_persecond_pool_on_empty_behavior: str = setting("WAIT", "", no_effect=ONE_CONNECTION)
    redis_persecond_pipeline_window: Duration = setting(0.0, "", no_effect=ONE_TICK)
    redis_persecond_pipeline_limit: Integer = setting(0, "", no_effect=ONE_TICK)
    redis_persecond_cluster_pipeline_parallelism: Integer = setting(1, "", no_effect=ONE_CONNECTION)

    @property
    def place(self) -> RedisPlace:
        """The main store: REDIS_URL with REDIS_TYPE, REDIS_AUTH and REDIS_TLS. Raises ValueError while made."""
        return self._place("redis")

    @property
    def persecond_place(self) -> RedisPlace | None:
        """The store of limits per second, None without one. Raises ValueError while made."""
        return self._place("redis_persecond") if self.redis_persecond else None

    @property
    def in_cluster(self) -> bool:
        """Whether any of the stores is a Cluster."""
        return "CLUSTER" in {self.redis_type, self.redis_persecond_type if self.redis_persecond else ""}

    @property
    def timeout_s(self) -> float:
        """The longest that a batch may take in any of the stores."""
        return max(self.redis_timeout, self.redis_persecond_timeout if self.redis_persecond else 0.0)

    def _place(self, prefix: str) -> RedisPlace:
        def given(name: str) -> Any:
            return getattr(self, f"{prefix}_{name}")

        login = replace(RedisTarget().with_credentials(given("auth")), tls=given("tls"))
        access = Access(login, given("sentinel_auth"), unix=given("socket_type") == "unix")
        master, servers = servers_of(given("type"), given("url"), access)
        return RedisPlace(
            cast("Topology", given("type")),
            servers,
            login,
            given("timeout"),
            master=master,
            tls=self._tls_files(),
            startup=Backoff(
                self.redis_startup_initial_interval,
                self.redis_startup_max_interval,
                self.redis_startup_max_elapsed_time,
            ),
            variable=f"{prefix}_url".upper(),
        )

    def _tls_files(self) -> TlsFiles:
        whole = bool(self.redis_tls_client_cert and self.redis_tls_client_key)
        return TlsFiles(
            self.redis_tls_client_cert if whole else "",
            self.redis_tls_client_key if whole else "",
            self.redis_tls_cacert,
            check_hostname=not self.redis_tls_skip_hostname_verification,
        )
