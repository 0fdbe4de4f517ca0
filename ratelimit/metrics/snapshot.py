"""What was counted, as plain values that can be sent as JSON: all of it at one moment, or what was added since."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The numbers of one process, of several together, or what was added to them (`increments`).

    `singles` holds a number for each row of SINGLES under its name, as far as the process has it. `calls` and `seconds`
    are RESPONSE_TIME's, one for each bucket. `configured` and `dynamic` hold a number for each row of LIMIT, in that
    order, by series; `domains_not_found` one by domain; `shares` one for each row of SHARE by series.
    """

    singles: Mapping[str, int] = field(default_factory=dict)
    calls: Sequence[int] = ()
    seconds: Sequence[float] = ()
    configured: Mapping[str, Sequence[int]] = field(default_factory=dict)
    dynamic: Mapping[str, Sequence[int]] = field(default_factory=dict)
    domains_not_found: Mapping[str, int] = field(default_factory=dict)
    shares: Mapping[str, Sequence[int]] = field(default_factory=dict)
