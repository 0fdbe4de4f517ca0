import pytest

from ratelimit.errors import SettingsError
from ratelimit.settings import load_settings


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GRPC_MAX_RECV_MSG_BYTES", "2147483648"),
        ("GRPC_MAX_CONNECTION_AGE", "9999999999h"),
        ("GRPC_MAX_CONNECTION_AGE", "-1s"),
        ("GRPC_HOST", "127.0.0.1:8081"),
        ("DRAIN_DELAY", "-1s"),
        ("GRPC_WRITE_TIMEOUT", "0"),
        ("WORKERS", "0"),
        ("WORKERS", "257"),
        ("WORKERS", "many"),
    ],
)
def test_what_would_fail_later_ends_the_start(variable: str, value: str) -> None:
    """A traceback while it serves is a start-up error."""
    with pytest.raises(SettingsError) as caught:
        load_settings({variable: value})
    assert [name for name, _ in caught.value.problems] == [variable]


def test_ages_of_connections_are_as_the_reference_has_them() -> None:
    """0 is never, and less than no grace is none."""
    server = load_settings({"GRPC_MAX_CONNECTION_AGE": "0", "GRPC_MAX_CONNECTION_AGE_GRACE": "-1s"}).server
    assert server.grpc_max_connection_age == 0
    assert 0 < server.grpc_max_connection_age_grace < 1e-6
