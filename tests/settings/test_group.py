import pytest
from pydantic import ValidationError

from ratelimit.settings import ServerSettings
from ratelimit.settings.counting import LimiterSettings
from ratelimit.settings.group import about
from ratelimit.settings.redis import RedisSettings


def test_what_is_said_of_a_variable_stands_at_its_field() -> None:
    """Meaning, whose it is, the reference's default, and why it does nothing."""
    timeout = about(RedisSettings.model_fields["redis_timeout"])
    assert (timeout.ours, timeout.reference, timeout.secret) == (False, "10s", False)
    assert about(ServerSettings.model_fields["workers"]).ours
    assert about(RedisSettings.model_fields["redis_auth"]).secret
    assert about(RedisSettings.model_fields["redis_pool_size"]).no_effect


def test_a_value_that_cannot_act_is_read_as_another_with_or_without_a_listener() -> None:
    """The reason goes to the context; without one, and for what the reference does too, nothing is told."""
    said: list[tuple[str, str]] = []
    given = {"near_limit_ratio": "7", "expiration_jitter_max_seconds": "-5"}
    group = LimiterSettings.model_validate(given, context=said)
    assert (group.near_limit_ratio, group.expiration_jitter_max_seconds) == (1.0, 0)
    assert said == [("near_limit_ratio", "no hit within a limit is near it")]
    assert LimiterSettings.model_validate(given) == group


def test_an_unknown_field_and_a_changed_one_are_errors() -> None:
    """Groups are frozen, and made of what they know."""
    with pytest.raises(ValidationError):
        ServerSettings.model_validate({"prot": 1})
    with pytest.raises(ValidationError):
        ServerSettings().port = 1
