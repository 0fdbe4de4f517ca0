import pytest

from ratelimit.errors import SettingsError
from ratelimit.settings import DogStatsdSettings, MetricsSettings, load_settings


@pytest.mark.parametrize(
    ("given", "prometheus", "statsd"),
    [
        ({}, True, False),
        ({"use_statsd": False}, True, False),
        ({"use_statsd": True}, False, True),
        ({"use_prometheus": False}, False, False),
        ({"disable_stats": True, "use_statsd": True, "use_prometheus": True}, False, False),
        ({"prometheus_addr": "9090"}, False, False),
        ({"prometheus_path": "/{"}, False, False),
        ({"prometheus_addr": "", "prometheus_path": ""}, True, False),
    ],
)
def test_one_sink(given: dict[str, bool], prometheus: bool, statsd: bool) -> None:
    """Prometheus unless something else is chosen; DISABLE_STATS wins."""
    settings = MetricsSettings.model_validate(given)
    assert (settings.prometheus_on, settings.statsd_on) == (prometheus, statsd)


@pytest.mark.parametrize(("variable", "value"), [("PROMETHEUS_ADDR", "localhost"), ("PROMETHEUS_PATH", "metrics")])
def test_a_place_of_metrics_that_cannot_be(variable: str, value: str) -> None:
    """Where it is asked for it ends the start, else it is told; with another sink it is nothing."""
    with pytest.raises(SettingsError, match=variable):
        load_settings({variable: value, "USE_PROMETHEUS": "true"})
    assert [name for name, _ in load_settings({variable: value}).notes] == [variable]
    assert load_settings({variable: value, "USE_STATSD": "true"}).notes == ()


def test_every_format_is_text_but_json() -> None:
    """As the reference has it; one that is neither is told."""
    assert load_settings({"LOG_FORMAT": "JSON"}).log.log_format == "json"
    settings = load_settings({"LOG_FORMAT": "logfmt"})
    assert settings.log.log_format == "text"
    assert settings.warnings == ("LOG_FORMAT is 'logfmt': text and json are the formats, and text it is",)


@pytest.mark.parametrize(
    ("rate", "effective", "told"),
    [("2", 1, False), ("-1", 0, False), ("inf", 1, False), ("nan", 0, True), (".5", 0.5, False)],
)
def test_a_sampling_rate_is_a_part(rate: str, effective: float, told: bool) -> None:
    """From 1 on it is all, from 0 down none."""
    settings = load_settings({"TRACING_SAMPLING_RATE": rate})
    assert settings.tracing.tracing_sampling_rate == effective
    assert bool(settings.notes) is told


def test_a_port_that_is_none_sends_nothing() -> None:
    """The reference starts, and so does ours."""
    settings = load_settings({"STATSD_PORT": "70000", "USE_STATSD": "true"})
    assert settings.metrics.statsd_port == 0
    assert settings.warnings == ("STATSD_PORT is '70000': no such port: nothing can be sent",)


def test_dog_statsd_is_a_sink_of_its_own() -> None:
    """In place of Prometheus, unless DISABLE_STATS; Prometheus beside it is refused elsewhere."""
    chosen = load_settings({"USE_DOG_STATSD": "true"})
    assert (chosen.dog_statsd_on, chosen.prometheus_on, chosen.metrics.statsd_on) == (True, False, False)
    none = load_settings({"USE_DOG_STATSD": "true", "USE_STATSD": "true", "DISABLE_STATS": "true"})
    assert (none.dog_statsd_on, none.prometheus_on, none.metrics.statsd_on) == (False, False, False)
    assert load_settings({}).prometheus_on


def test_the_variables_of_datadogs_client_are_tags() -> None:
    """In the client's order, those that are set."""
    settings = DogStatsdSettings(dd_version="7", dd_env="prod", dd_entity_id="pod", dd_service="")
    assert settings.tags == ("dd.internal.entity_id:pod", "env:prod", "version:7")


def test_the_container_is_told_unless_the_pod_is() -> None:
    """Or unless it is not wanted; what is no boolean counts for nothing, as in Datadog's client."""
    for said, wanted in (("", True), ("false", False), ("0", False), ("true", True), ("what", True)):
        assert DogStatsdSettings(dd_origin_detection_enabled=said).tells_container is wanted
    assert not DogStatsdSettings(dd_entity_id="pod").tells_container


def test_nobody_looks_at_the_protocol_of_traces_that_are_off() -> None:
    """The reference does not either."""
    assert load_settings({"TRACING_EXPORTER_PROTOCOL": "udp"}).tracing.tracing_enabled is False
