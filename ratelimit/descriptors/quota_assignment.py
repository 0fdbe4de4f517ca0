"""How a limit is divided over Envoys that count for themselves (rate limit quota service): `quota_assignment`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ratelimit.descriptors.specification import MINIMUM_SHARE, QuotaSpecification, shown

CLASSES_MAX = 1_000
WEIGHT_MIN, WEIGHT_MAX = 0.01, 100.0
# An Envoy's bucket is whole tokens, and its reports are 5 s apart: with fewer requests per second and Envoy than this
# the tokens of one change are a part of the limit that cannot be neglected (docs/rlqs.md).
RATE_PER_ENVOY_MIN = 20.0


@dataclass(frozen=True, slots=True)
class QuotaAssignment:
    """The options of one limit.

    `minimum_share` is the part of an even share that each Envoy keeps, used or not. `expected_envoys` is how many
    there will be, 0 where that is not known. An `exact` limit is not divided: Envoys are told to let everything pass,
    and ask ShouldRateLimit about each request. `weights` say for a class of Envoys how many others one of them counts
    for.
    """

    minimum_share: float = MINIMUM_SHARE
    expected_envoys: int = 0
    exact: bool = False
    weights: Mapping[str, float] = field(default_factory=dict)


DEFAULT = QuotaAssignment()


def checked(written: QuotaSpecification) -> QuotaAssignment:
    """The options that were written. Raises ConfigError."""
    if not 0 <= written.minimum_share <= 1:
        raise written.place_of("minimum_share").error(f"{written.minimum_share:g} is not between 0 and 1")
    if len(written.weights) > CLASSES_MAX:
        raise written.place_of("weights").error(f"more than {CLASSES_MAX} classes")
    for name, weight in written.weights.items():
        place = written.place_of(f"weights.{name}")
        if not name:
            raise place.error("a class of Envoys without a name")
        if not WEIGHT_MIN <= weight <= WEIGHT_MAX:
            wanted = f"{WEIGHT_MIN:g} to {WEIGHT_MAX:g}"
            raise place.error(f"the weight of {shown(name)} is {weight:g}: {wanted} is wanted")
    if written.exact and written.places.keys() - {"exact"}:
        raise written.place_of("exact").error("an exact limit is not divided: no other option acts beside it")
    return QuotaAssignment(written.minimum_share, written.expected_envoys, written.exact, dict(written.weights))


def too_small_to_divide(limit_per_s: float, assignment: QuotaAssignment) -> str:
    """Why a limit of so many requests per second cannot be divided over its Envoys; "" where it can."""
    envoys = assignment.expected_envoys
    least = RATE_PER_ENVOY_MIN * envoys
    if assignment.exact or limit_per_s >= least:
        return ""
    return (
        f"{limit_per_s:g} requests per second are too few for {envoys} Envoys, which need {least:g}: "
        f"at most {math.floor(limit_per_s / RATE_PER_ENVOY_MIN)} can share them well; `exact: true` does not divide"
    )
