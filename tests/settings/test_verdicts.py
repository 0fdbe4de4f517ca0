import pytest

from ratelimit.errors import SettingsError
from ratelimit.settings import load_settings, variables
from tests.settings.verdicts import LATER, THEIRS, Case, of_kinds, of_meaning

# Stores that can be reached, as a deployment has them.
BASE = {
    "REDIS_SOCKET_TYPE": "tcp",
    "REDIS_URL": "redis:6379",
    "REDIS_PERSECOND_SOCKET_TYPE": "tcp",
    "REDIS_PERSECOND_URL": "redis:6379",
    "USE_STATSD": "false",
}


def blamed(case: Case) -> set[str] | None:
    """The variables that ours complains about; None where it starts."""
    try:
        load_settings({**BASE, **case.environ})
    except SettingsError as error:
        return {name for name, _ in error.problems}
    return None


@pytest.mark.parametrize("cases", [list(of_kinds()), of_meaning()], ids=["kinds", "meaning"])
def test_ours_starts_where_theirs_does(cases: list[Case]) -> None:
    """Every value of every variable, but for those that the table gives a reason for."""
    wrong = [case for case in cases if (blamed(case) is None) is not case.ours_starts]
    assert wrong == []


def test_what_is_refused_is_named() -> None:
    """The variable that is wrong, or one that it belongs to."""
    for case in of_kinds():
        assert blamed(case) in (None, set(case.environ), {"GRPC_SERVER_TLS_CERT", "GRPC_SERVER_TLS_KEY"})
    beside = {"USE_STATSD", "MEMCACHE_HOST_PORT", "REDIS_URL", "DOG_STATSD_MOGRIFIER_A_NAME"}
    for case in of_meaning():
        assert (blamed(case) or set(case.environ)) & (case.environ.keys() | beside)


def test_each_of_their_variables_is_in_the_table() -> None:
    """About 110 of them, those of later versions aside."""
    assert len(THEIRS) + len(LATER) > 110
    assert set(THEIRS) <= {name for case in (*of_kinds(), *of_meaning()) for name in case.environ} | TEXTS
    assert set(variables()) >= LATER


# Whatever stands in them is right.
TEXTS = {
    "CACHE_KEY_PREFIX",
    "CONFIG_GRPC_XDS_CLIENT_TLS_KEY",
    "CONFIG_GRPC_XDS_NODE_ID",
    "CONFIG_GRPC_XDS_SERVER_TLS_SAN",
    "CONFIG_GRPC_XDS_SERVER_URL",
    "GRPC_CLIENT_TLS_SAN",
    "GRPC_HOST",
    "GRPC_UDS",
    "LIMIT_REMAINING_HEADER",
    "LIMIT_RESET_HEADER",
    "MEMCACHE_TLS_CLIENT_CERT",
    "MEMCACHE_TLS_CLIENT_KEY",
    "REDIS_AUTH",
    "REDIS_PERSECOND_AUTH",
    "REDIS_PERSECOND_SENTINEL_AUTH",
    "REDIS_PERSECOND_URL",
    "REDIS_SENTINEL_AUTH",
    "RUNTIME_APPDIRECTORY",
    "RUNTIME_ROOT",
    "RUNTIME_SUBDIRECTORY",
    "STATSD_HOST",
    "TRACING_SERVICE_INSTANCE_ID",
    "TRACING_SERVICE_NAME",
    "TRACING_SERVICE_NAMESPACE",
}
