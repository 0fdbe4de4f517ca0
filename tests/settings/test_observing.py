import pytest

from ratelimit.errors import SettingsError
from ratelimit.settings import MetricsSettings, load_settings


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
