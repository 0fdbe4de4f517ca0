from ratelimit.lint import envoy_fields
from tests.lint.meshes import BOOTSTRAP, shipped
from tests.lint.test_items import item


def test_every_field_that_we_ship_is_known() -> None:
    """In the filter, its service and its actions."""
    filters = [each for each in item(shipped(BOOTSTRAP)).within() if each.get("domain").given]
    assert filters
    assert filters[0].fields.keys() <= envoy_fields.FILTER
    assert filters[0].get("rate_limit_service").fields.keys() <= envoy_fields.SERVICE


def test_what_an_action_needs_is_among_its_fields() -> None:
    """The tables agree."""
    for name, wanted in envoy_fields.REQUIRED.items():
        assert set(wanted) <= envoy_fields.ACTIONS[name]
    assert envoy_fields.DEPRECATED_MATCHES.keys() <= envoy_fields.HEADER_MATCHER
