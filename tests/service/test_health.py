import pytest
from structlog.testing import capture_logs

from ratelimit.service.health import Health


@pytest.mark.parametrize(("needs_active_store", "after_loss"), [(False, True), (True, False)])
def test_serving_needs_the_store_once(needs_active_store: bool, after_loss: bool) -> None:
    """Later losses count only with REDIS_HEALTH_CHECK_ACTIVE_CONNECTION."""
    health = Health(needs_active_store=needs_active_store)
    assert not health.healthy
    health.store_changed(connected=True)
    assert health.healthy
    health.store_changed(connected=False)
    assert health.healthy is after_loss


def test_a_configuration_may_be_needed() -> None:
    """HEALTHY_WITH_AT_LEAST_ONE_CONFIG_LOADED."""
    health = Health(needs_config=True)
    health.store_changed(connected=True)
    assert not health.healthy
    health.config_changed(loaded=True)
    assert health.healthy


def test_draining_is_final_and_listeners_hear_changes_only() -> None:
    """NOT_SERVING once and for all."""
    health, heard = Health(), list[bool]()
    health.on_change(lambda: heard.append(health.healthy))
    health.store_changed(connected=True)
    health.store_changed(connected=True)
    health.drain()
    health.store_changed(connected=True)
    assert heard == [False, True, False]


def test_each_change_is_one_line_and_the_last_one_is_true() -> None:
    """Up is INFO; a loss and its end are WARN, since the default level shows no INFO; the drain is told elsewhere."""
    health = Health(needs_active_store=True)
    with capture_logs() as logs:
        health.log_changes()
        for connected in (True, True, False, False, True):
            health.store_changed(connected=connected)
        health.drain()
        health.store_changed(connected=False)
    assert [(line["log_level"], line["event"].split(":")[0]) for line in logs] == [
        ("info", "healthy"),
        ("warning", "not healthy"),
        ("warning", "healthy"),
    ]
