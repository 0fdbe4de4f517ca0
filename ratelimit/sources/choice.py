"""Which source brings the configuration, by CONFIG_TYPE."""

from ratelimit.settings import Settings
from ratelimit.sources.source import Listener, Source


def choose_source(settings: Settings, listener: Listener) -> Source:
    """The source of `settings`. Each imports what it needs: files are read without gRPC, and without a watcher xDS."""
    if settings.config.config_type == "FILE":
        from ratelimit.sources.directory import DirectorySource  # noqa: PLC0415

        return DirectorySource(settings.config, listener)
    from ratelimit.sources.xds import ControlPlane, ControlPlaneSource, Retry, ServerTls  # noqa: PLC0415

    xds = settings.xds
    tls = ServerTls(
        xds.config_grpc_xds_server_tls_cacert,
        xds.config_grpc_xds_client_tls_cert,
        xds.config_grpc_xds_client_tls_key,
        xds.config_grpc_xds_server_tls_san,
    )
    plane = ControlPlane(
        xds.config_grpc_xds_server_url,
        xds.config_grpc_xds_node_id,
        xds.node_metadata,
        xds.config_grpc_xds_client_additional_headers,
        tls if xds.config_grpc_xds_server_use_tls else None,
        xds.xds_client_max_msg_size_in_bytes,
        Retry(
            xds.config_grpc_xds_server_connect_retry_interval,
            xds.xds_client_backoff_initial_interval,
            xds.xds_client_backoff_max_interval,
            xds.xds_client_backoff_random_factor,
            xds.xds_client_backoff_jitter,
        ),
    )
    return ControlPlaneSource(
        plane,
        listener,
        merge_domains=settings.config.merge_domain_config,
        wait=not settings.config.force_start_without_initial_config,
    )
