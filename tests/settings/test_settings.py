import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratelimit.errors import SettingsError
from ratelimit.settings import groups, load_settings

VARIABLES = sorted(field.upper() for group in groups().values() for field in group.model_fields)
# What people write, right or nearly so, and what nobody writes.
WORDS = (
    "", "0", "-1", "true", "yes", "10s", "10", "1e3", "0x10", "9" * 400, "9" * 5000, "1" * 300 + "h", "nan",
    "inf", "redis:6379", "redis://u:p@ss/w@h:1", "tcp", "unix", "SENTINEL", "memory", "::", "[::]", ":9090", "a:b,c",
    "/x", "auto", "é", "\udcff", "\0", " ", "2147483648", "RateLimit-Limit", "٣",
)  # fmt: skip
VALUES = st.sampled_from(WORDS) | st.text(max_size=30)
# Each of them may be wrong only because of another variable.
DEPENDENT = {
    "REDIS_URL",
    "REDIS_PERSECOND_URL",
    "REDIS_TLS_CLIENT_CERT",
    "GRPC_SERVER_TLS_CERT",
    "GRPC_SERVER_TLS_KEY",
    "USE_STATSD",
    "GRPC_UDS",
    "BACKEND_TYPE",
    "USE_DOG_STATSD",
    "TRACING_EXPORTER_PROTOCOL",
}


def named(environ: dict[str, str]) -> set[str]:
    """The variables that a start with `environ` complains about, each once."""
    try:
        load_settings(environ)
    except SettingsError as error:
        names = [name for name, _ in error.problems]
        assert len(names) == len(set(names))
        return set(names)
    return set()


@given(st.dictionaries(st.sampled_from(VARIABLES), VALUES, max_size=8))
@example({"REDIS_SOCKET_TYPE": "udp", "REDIS_URL": ""})
@example({"GRPC_SERVER_USE_TLS": "true", "PORT": "x", "REDIS_SOCKET_TYPE": "tcp"})
def test_any_environment_loads_or_names_what_is_wrong(environ: dict[str, str]) -> None:
    """Only SettingsError escapes; every variable that is wrong by itself is named, and no right one is."""
    wrong = {name for name, value in environ.items() if name in named({name: value})}
    assert wrong - DEPENDENT <= named(environ) <= wrong | DEPENDENT


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_value_of_every_variable_is_read_or_refused(variable: str) -> None:
    """No value of one variable makes another one wrong, but for those that belong together."""
    for word in WORDS:
        assert named({variable: word}) <= {variable} | DEPENDENT


def test_broken_rules_and_wrong_values_come_in_one_list() -> None:
    """A rule between fields does not wait for the fields of its group to be mended."""
    environ = {
        "PORT": "x",
        "GRPC_SERVER_USE_TLS": "true",
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_TIMEOUT": "10",
        "USE_STATSD": "true",
        "USE_PROMETHEUS": "true",
        "PROMETHEUS_ADDR": "9090",
    }
    wrong = {"PORT", "GRPC_SERVER_TLS_CERT", "GRPC_SERVER_TLS_KEY", "REDIS_TIMEOUT", "REDIS_URL", "USE_STATSD"}
    assert named(environ) == wrong | {"PROMETHEUS_ADDR"}


def test_a_rule_is_not_judged_by_a_wrong_field() -> None:
    """Whether a URL is usable cannot be told while REDIS_SOCKET_TYPE is wrong."""
    assert named({"REDIS_SOCKET_TYPE": "udp", "REDIS_URL": "redis:6379"}) == {"REDIS_SOCKET_TYPE"}


@pytest.mark.parametrize("url", ["redis://u:s3cret/@h:x", "redis://u:s3cret@h@", "s3cret\udcff", "u:s3cret@:6379"])
def test_a_secret_is_in_no_error(url: str) -> None:
    """REDIS_URL and REDIS_AUTH are named, never shown."""
    with pytest.raises(SettingsError) as caught:
        load_settings({"REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": url, "REDIS_AUTH": "s3cret\udcff"})
    assert {name for name, _ in caught.value.problems} <= {"REDIS_URL", "REDIS_AUTH"}
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_secret_is_in_no_repr() -> None:
    """Settings may be logged."""
    environ = {"REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": "redis://u:s3cret@h", "REDIS_AUTH": "s3cret"}
    settings = load_settings(environ)
    assert settings.redis.place.servers[0].password == "s3cret"
    assert "s3cret" not in repr(settings) + str(settings) + repr(settings.redis.place)


def test_a_long_value_is_shown_in_part() -> None:
    """A line for a person, not a megabyte."""
    with pytest.raises(SettingsError) as caught:
        load_settings({"PORT": "x" * 10_000})
    assert len(str(caught.value)) < 250
