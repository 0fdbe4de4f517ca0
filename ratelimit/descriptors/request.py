"""What a caller asks, as values: the fields of `RateLimitRequest` without protobuf."""

from dataclasses import dataclass

from ratelimit.descriptors.limit import Limit


@dataclass(slots=True)
class Descriptor:
    """One `RateLimitDescriptor` (extensions/common/ratelimit/v3).

    `entries` are (key, value) in the order sent; a value may be empty. `limit` is the override, which knows only
    `requests_per_unit` and `unit`. `hits_addend` is None when absent, and 0 when the caller only looks.
    """

    entries: tuple[tuple[str, str], ...]
    limit: Limit | None = None
    hits_addend: int | None = None
    is_negative_hits: bool = False


@dataclass(slots=True)
class Request:
    """One `RateLimitRequest` (service/ratelimit/v3); `hits_addend` 0 means 1."""

    domain: str
    descriptors: tuple[Descriptor, ...]
    hits_addend: int = 0
