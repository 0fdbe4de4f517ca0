import pytest

from ratelimit.descriptors.quota_assignment import DEFAULT, QuotaAssignment, checked, too_small_to_divide
from ratelimit.descriptors.specification import Place, QuotaSpecification
from ratelimit.errors import ConfigError


def test_what_is_not_written_is_the_default() -> None:
    """An empty `quota_assignment` says nothing."""
    assert checked(QuotaSpecification(Place("f", 1))) == DEFAULT


def test_classes_of_envoys_are_bounded() -> None:
    """The place of the whole list is told."""
    many = {f"class {number}": 1.0 for number in range(1001)}
    with pytest.raises(ConfigError, match="f:7: weights: more than 1000 classes"):
        checked(QuotaSpecification(Place("f", 1), weights=many, places={"weights": Place("f", 7, "weights")}))


@pytest.mark.parametrize(
    ("limit_per_s", "assignment", "told"),
    [
        (10, QuotaAssignment(expected_envoys=10), "10 requests per second are too few for 10 Envoys, which need 200"),
        (59, QuotaAssignment(expected_envoys=3), "at most 2 can share them well"),
        (60, QuotaAssignment(expected_envoys=3), ""),
        (0.1, DEFAULT, ""),
        (1, QuotaAssignment(exact=True), ""),
    ],
)
def test_a_limit_may_be_too_small_for_its_fleet(limit_per_s: float, assignment: QuotaAssignment, told: str) -> None:
    """Below 20 requests per second and Envoy; an unknown fleet and an exact limit are no reason to warn."""
    said = too_small_to_divide(limit_per_s, assignment)
    assert told in said
    assert bool(told) == bool(said)
