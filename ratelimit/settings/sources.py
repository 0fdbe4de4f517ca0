"""Where the rate limit configuration comes from: files, or a control plane over xDS."""

from typing import Annotated, Literal

from ratelimit.settings.go_values import Boolean, Duration, Integer, Number, Pairs
from ratelimit.settings.group import Count, Group, Positive, at_least, read_as, setting

# What github.com/jpillora/backoff takes where it is given nothing that can act.
BACKOFF_INITIAL_S = 0.1
BACKOFF_MAX_S = 10.0
BACKOFF_FACTOR = 2.0


def _instead(least: float) -> object:
    return read_as(lambda value: (least, f"{value:g} cannot act: {least:g} it is") if not value > 0 else None)


def _message_bytes(value: int) -> tuple[int, str] | None:
    return (0, "no message is smaller than 0 bytes: the default it is") if value < 0 else None


class ConfigSettings(Group):
    """Which source it is; of files, where they are and how much of them is accepted."""

    config_type: Literal["FILE", "GRPC_XDS_SOTW"] = setting(
        "FILE", "`FILE`; or `GRPC_XDS_SOTW`, a control plane that is asked over ADS"
    )
    runtime_root: str = setting(
        "/srv/runtime_data/current", "first part of the configuration directory; may be a link that is swapped"
    )
    runtime_subdirectory: str = setting("", "second part")
    runtime_appdirectory: str = setting("config", "third part")
    runtime_watch_root: Boolean = setting(
        True, "true: watch for a swap of the root; false: the directory itself, as a ConfigMap needs"
    )
    runtime_ignoredotfiles: Boolean = setting(False, "skip names with a leading dot; a ConfigMap needs true")
    merge_domain_config: Boolean = setting(False, "several files may configure one domain")
    force_start_without_initial_config: Boolean = setting(
        False, "true: a start does not wait for the control plane's first configuration; files are never waited for"
    )
    healthy_with_at_least_one_config_loaded: Boolean = setting(False, "not healthy without a domain")
    config_strict: Boolean = setting(
        True,
        "false: repeated and misplaced keys are warnings, as envoyproxy/ratelimit lets them pass",
        ours=True,
    )
    config_file_bytes_max: Positive = setting(4 * 1024 * 1024, "largest file", ours=True)
    config_depth_max: Positive = setting(64, "deepest nesting of a file", ours=True)
    config_nodes_max: Positive = setting(
        500_000, "most YAML nodes of a file, with aliases expanded and merge keys filled in", ours=True
    )
    config_aliases_max: Count = setting(1_000, "most aliases of a file", ours=True)


class XdsSettings(Group):
    """The control plane, and how to speak to it, with CONFIG_TYPE=GRPC_XDS_SOTW."""

    config_grpc_xds_node_id: str = setting("default", "the node that the control plane has a configuration for")
    config_grpc_xds_node_metadata: str = setting("", "its metadata, `key=value,key=value`; other parts are left out")
    config_grpc_xds_server_url: str = setting("localhost:18000", "address of the control plane, `host:port`")
    config_grpc_xds_server_connect_retry_interval: Annotated[Duration, at_least(0)] = setting(
        3.0, "wait between tries to open a stream, ±50 % at random"
    )
    config_grpc_xds_client_additional_headers: Pairs = setting(
        {}, "`name:value,name:value`, sent with each stream", secret=True
    )
    config_grpc_xds_server_use_tls: Boolean = setting(False, "TLS to the control plane")
    config_grpc_xds_client_tls_cert: str = setting("", "client certificate (PEM)")
    config_grpc_xds_client_tls_key: str = setting("", "its key")
    config_grpc_xds_server_tls_cacert: str = setting(
        "", "authority of the control plane's certificate; the system's without it"
    )
    config_grpc_xds_server_tls_san: str = setting("", "the name that its certificate must carry")
    xds_client_backoff_initial_interval: Annotated[Duration, _instead(BACKOFF_INITIAL_S)] = setting(
        10.0, "first wait before a lost stream is opened again"
    )
    xds_client_backoff_max_interval: Annotated[Duration, _instead(BACKOFF_MAX_S)] = setting(60.0, "longest wait")
    xds_client_backoff_random_factor: Annotated[Number, _instead(BACKOFF_FACTOR)] = setting(
        0.5, "how much longer each wait is than the one before"
    )
    xds_client_backoff_jitter: Boolean = setting(True, "waits are drawn at random")
    xds_client_max_msg_size_in_bytes: Annotated[Integer, read_as(_message_bytes)] = setting(
        0, "largest message of the control plane; 0 is gRPC's own bound, 4 MiB"
    )

    @property
    def node_metadata(self) -> dict[str, str]:
        """CONFIG_GRPC_XDS_NODE_METADATA by key; what has no `=` is left out."""
        parts = (part.partition("=") for part in self.config_grpc_xds_node_metadata.split(","))
        return {key: value for key, equals, value in parts if equals}
