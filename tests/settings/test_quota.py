import pytest

from ratelimit.errors import SettingsError
from ratelimit.settings import load_settings


def test_answers_are_words_of_any_case() -> None:
    """As the other choices of ours."""
    quota = load_settings({"RLQS_UNKNOWN_BUCKET": "Deny", "RLQS_ACK": "PING"}).quota
    assert (quota.rlqs_unknown_bucket, quota.rlqs_ack, quota.rlqs_unknown_domain) == ("deny", "ping", "allow")


@pytest.mark.parametrize("name", ["RLQS_ACK", "RLQS_UNKNOWN_DOMAIN", "RLQS_STREAMS_MAX", "RLQS_WRITE_TIMEOUT"])
def test_values_without_a_meaning_end_the_start(name: str) -> None:
    """With the name of the variable."""
    with pytest.raises(SettingsError, match=name):
        load_settings({name: "0"})
