from ratelimit.settings import DogStatsdSettings, load_settings


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
