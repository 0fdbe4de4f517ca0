import pytest

from ratelimit.settings import load_settings, variables
from ratelimit.settings.names import near_misses


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("REDIS_TIMOUT", "REDIS_TIMEOUT"),
        ("REDIS_TSL_CACERT", "REDIS_TLS_CACERT"),
        ("RUNTIME_IGNORE_DOTFILES", "RUNTIME_IGNOREDOTFILES"),
        ("GRPC_MAX_CONECTION_AGE", "GRPC_MAX_CONNECTION_AGE"),
        ("LIMIT_RESPONSE_HEADER_ENABLED", "LIMIT_RESPONSE_HEADERS_ENABLED"),
        ("TRACING_SAMPLE_RATE", "TRACING_SAMPLING_RATE"),
        ("LOCAL_CACHE_SIZE_IN_BYTE", "LOCAL_CACHE_SIZE_IN_BYTES"),
    ],
)
def test_a_slip_is_seen(name: str, meant: str) -> None:
    """A letter too few, two that changed places, another ending."""
    assert near_misses([name], variables()) == {name: meant}


@pytest.mark.parametrize(
    "name",
    [
        "REDIS_PORT", "REDIS_PORT_6379_TCP", "REDIS_PORT_6379_TCP_ADDR", "REDIS_SERVICE_HOST", "REDIS_SERVICE_PORT_TCP",
        "STATSD_PORT_8125_TCP", "STATSD_SERVICE_PORT", "GRPC_PORT_8081_TCP_PORT", "HOSTNAME", "PATH", "HOSTS", "REDIS",
        "GRPC_VERBOSITY", "OTEL_EXPORTER_OTLP_ENDPOINT", "USE_TLS", "REDIS_PASSWORD", "REDDIS_URL", "CONFIG_FILE",
        "DEBUG", "LOG_FILE", "KUBERNETES_SERVICE_PORT", "MEMCACHE_PORT_11211_TCP_PROTO", "REDIS_URL",
    ],
)  # fmt: skip
def test_what_others_put_there_is_no_slip(name: str) -> None:
    """Kubernetes' variables of services, and those of other programs."""
    assert near_misses([name], variables()) == {}


def test_a_mogrifier_s_variables_are_no_slip() -> None:
    """Their names are made of what USE_DOG_STATSD_MOGRIFIERS says."""
    assert load_settings({"DOG_STATSD_MOGRIFIER_A_PATTERN": "x", "DOG_STATSD_MOGRIFIERS": "x"}).hints == ()
