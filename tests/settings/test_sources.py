from ratelimit.settings import load_settings


def test_a_control_plane_has_its_settings() -> None:
    """With the reference's defaults, until it is given others."""
    xds = load_settings({}).xds
    assert (xds.config_grpc_xds_node_id, xds.config_grpc_xds_server_url) == ("default", "localhost:18000")
    assert (xds.xds_client_backoff_initial_interval, xds.xds_client_backoff_max_interval) == (10, 60)
    given = {"CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS": "a:b,c:d", "CONFIG_GRPC_XDS_NODE_METADATA": "k=v=w,x,l="}
    xds = load_settings(given).xds
    assert xds.config_grpc_xds_client_additional_headers == {"a": "b", "c": "d"}
    assert xds.node_metadata == {"k": "v=w", "l": ""}


def test_waits_that_cannot_act_are_those_of_the_reference_s_library() -> None:
    """Nothing, and less than nothing, is no back-off."""
    given = {
        "XDS_CLIENT_BACKOFF_INITIAL_INTERVAL": "0",
        "XDS_CLIENT_BACKOFF_MAX_INTERVAL": "-1s",
        "XDS_CLIENT_BACKOFF_RANDOM_FACTOR": "nan",
        "XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES": "-1",
        "CONFIG_GRPC_XDS_SERVER_CONNECT_RETRY_INTERVAL": "-1s",
    }
    settings = load_settings(given)
    xds = settings.xds
    assert (xds.xds_client_backoff_initial_interval, xds.xds_client_backoff_max_interval) == (0.1, 10)
    assert (xds.xds_client_backoff_random_factor, xds.xds_client_max_msg_size_in_bytes) == (2, 0)
    assert xds.config_grpc_xds_server_connect_retry_interval == 0
    assert {name for name, _ in settings.notes} == given.keys() - {"CONFIG_GRPC_XDS_SERVER_CONNECT_RETRY_INTERVAL"}
