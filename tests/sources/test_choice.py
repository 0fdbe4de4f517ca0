from pathlib import Path

from ratelimit.settings import load_settings
from ratelimit.sources.choice import choose_source
from ratelimit.sources.directory import DirectorySource
from ratelimit.sources.source import Listener
from ratelimit.sources.xds import ControlPlane, ControlPlaneSource, Retry, ServerTls
from tests.transport.test_tls import certificate

LISTENER = Listener(print, print)


def test_files_are_the_default() -> None:
    """CONFIG_TYPE=FILE."""
    assert isinstance(choose_source(load_settings({}), LISTENER), DirectorySource)


async def test_a_control_plane_by_all_of_its_variables(tmp_path: Path) -> None:
    """CONFIG_TYPE=GRPC_XDS_SOTW."""
    cert, key = certificate(tmp_path, "client", "DNS:client")
    settings = load_settings(
        {
            "CONFIG_TYPE": "GRPC_XDS_SOTW",
            "CONFIG_GRPC_XDS_NODE_ID": "node",
            "CONFIG_GRPC_XDS_NODE_METADATA": "a=b,c=d=e,f",
            "CONFIG_GRPC_XDS_SERVER_URL": "plane:1",
            "CONFIG_GRPC_XDS_SERVER_CONNECT_RETRY_INTERVAL": "7s",
            "CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS": "x-token:secret",
            "CONFIG_GRPC_XDS_SERVER_USE_TLS": "true",
            "CONFIG_GRPC_XDS_CLIENT_TLS_CERT": cert,
            "CONFIG_GRPC_XDS_CLIENT_TLS_KEY": key,
            "CONFIG_GRPC_XDS_SERVER_TLS_CACERT": cert,
            "CONFIG_GRPC_XDS_SERVER_TLS_SAN": "control.plane",
            "XDS_CLIENT_BACKOFF_INITIAL_INTERVAL": "1s",
            "XDS_CLIENT_BACKOFF_MAX_INTERVAL": "5s",
            "XDS_CLIENT_BACKOFF_RANDOM_FACTOR": "2",
            "XDS_CLIENT_BACKOFF_JITTER": "false",
            "XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES": "1000",
        }
    )
    source = choose_source(settings, LISTENER)
    assert isinstance(source, ControlPlaneSource)
    assert source.plane == ControlPlane(
        "plane:1",
        "node",
        {"a": "b", "c": "d=e"},
        {"x-token": "secret"},
        ServerTls(cert, cert, key, "control.plane"),
        1000,
        Retry(7, 1, 5, 2, jitter=False),
    )


async def test_a_control_plane_that_is_not_waited_for() -> None:
    """FORCE_START_WITHOUT_INITIAL_CONFIG: the start goes on without it, in the clear."""
    environ = {"CONFIG_TYPE": "GRPC_XDS_SOTW", "FORCE_START_WITHOUT_INITIAL_CONFIG": "1"}
    source = choose_source(load_settings(environ), LISTENER)
    assert isinstance(source, ControlPlaneSource)
    assert source.plane == ControlPlane()
    await source.start()
    await source.close()
