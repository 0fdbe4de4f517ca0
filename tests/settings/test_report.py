import io
import json

import pytest

from ratelimit.settings import load_settings, variables
from ratelimit.settings.report import Entry, entries, masked, tell_settings

TCP = {"REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": "redis:6379"}


def told(environ: dict[str, str]) -> dict[str, Entry]:
    """The entries of an environment, by name."""
    return {entry.name: entry for entry in entries(load_settings(environ), environ)}


def written(environ: dict[str, str], *, as_json: bool) -> tuple[int, str]:
    """Exit code and output."""
    out = io.StringIO()
    return tell_settings(out, as_json=as_json, environ=environ), out.getvalue()


def test_every_variable_is_told_with_its_source() -> None:
    """Effective values in the order of the documentation: what was read, not what was written."""
    found = told({**TCP, "PORT": "0x50", "GRPC_MAX_CONNECTION_AGE": "90m", "EXTRA_TAGS": "a:b"})
    assert list(found) == list(variables())
    assert found["PORT"] == Entry("PORT", "80", "environment", ours=False)
    assert found["GRPC_MAX_CONNECTION_AGE"].value == "90m"
    assert found["EXTRA_TAGS"].value == "a:b"
    assert found["USE_STATSD"] == Entry("USE_STATSD", None, "default", ours=False)
    assert found["WORKERS"] == Entry("WORKERS", "1", "default", ours=True)


def test_what_does_nothing_says_so_where_it_is_set() -> None:
    """Also to its default; one that nobody set is quiet."""
    found = told({**TCP, "REDIS_POOL_SIZE": "10", "NEAR_LIMIT_RATIO": "3"})
    assert found["REDIS_POOL_SIZE"].note.startswith("has no effect: ")
    assert found["NEAR_LIMIT_RATIO"] == Entry(
        "NEAR_LIMIT_RATIO", "1", "environment", ours=False, note="is '3': no hit within a limit is near it"
    )
    assert found["REDIS_PIPELINE_LIMIT"].note == ""


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("redis_auth", "s3cret", "***"),
        ("redis_auth", "", ""),
        ("redis_url", "redis:6379", "redis:6379"),
        ("redis_url", "redis://u:s3/cr@et@h:1/2", "redis://***@h:1/2"),
        ("redis_url", "u:s3cret@h:1", "***@h:1"),
        ("redis_url", "master,:s3cret@a:1,:s3cret@b:2", "***@b:2"),
        ("redis_url", "rediss://h:1?password=s3cret", "rediss://h:1?***"),
        ("redis_url", "redis://u:s3\ncret@h:1", "redis://***@h:1"),
        ("config_grpc_xds_client_additional_headers", "a:s3cret,b:s3cret", "a:***,b:***"),
    ],
)
def test_secrets_are_hidden(field: str, value: str, shown: str) -> None:
    """Of an address and of headers, what helps to see which they are stays."""
    assert masked(field, value) == shown


def test_no_output_holds_a_secret() -> None:
    """Neither text nor JSON, whichever variable holds it."""
    environ = {
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": "redis://u:s3cret@h:1",
        "REDIS_PERSECOND_URL": "x:s3cret@h",
        "CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS": "a:s3cret",
        **{f"{store}_{name}": "s3cret" for store in ("REDIS", "REDIS_PERSECOND") for name in ("AUTH", "SENTINEL_AUTH")},
    }
    for as_json in (False, True):
        code, text = written(environ, as_json=as_json)
        assert (code, text.count("s3cret")) == (0, 0)
        assert text.count("***") == 7


def test_text_is_legible_whatever_a_value_holds() -> None:
    """A line for each variable, and one for each hint."""
    code, text = written({**TCP, "CACHE_KEY_PREFIX": "a\nb\udcff", "REDIS_TIMOUT": "1s"}, as_json=False)
    lines = text.splitlines()
    assert (code, len(lines)) == (0, len(variables()) + 1)
    assert "'a\\nb\\udcff'" in text
    assert lines[-1] == "hint: REDIS_TIMOUT is not a setting; did you mean REDIS_TIMEOUT?"


def test_json_has_the_same() -> None:
    """For programs; what is wrong is a list too."""
    code, text = written({**TCP, "REDIS_TIMOUT": "1s"}, as_json=True)
    read = json.loads(text)
    assert code == 0
    assert [each["name"] for each in read["variables"]] == list(variables())
    assert read["hints"] == [{"name": "REDIS_TIMOUT", "meant": "REDIS_TIMEOUT"}]
    code, text = written({"PORT": "x", "REDIS_TLS": "yes", **TCP}, as_json=True)
    assert (code, [each["name"] for each in json.loads(text)["errors"]]) == (1, ["PORT", "REDIS_TLS"])
