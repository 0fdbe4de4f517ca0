"""What a ledger is made for, and the constants of the algorithm."""

from dataclasses import dataclass
from enum import Enum


class AckMode(Enum):
    """How it is known that an Envoy obeys an assignment."""

    PING = "ping"
    """By the acknowledgement of a PING behind it: one round trip. Only where no proxy stands between."""
    REPORT = "report"
    """By a report that came at least `Tuning.report_acks_after_s` later: up to 6 s."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Times in seconds, rates in requests per second, the rest plain ratios. Why each is as it is: decisions/0010."""

    # Envoy 1.40 reports every 5 s, whatever it is configured to.
    report_s: float = 5.0
    # A lease outlives one lost report: report_s twice, and a moment. Whole seconds: Envoy drops the rest.
    ttl_s: int = 12
    # A lease is over at the Envoy when this much more has passed: the way there, and its timer.
    lease_slack_s: float = 0.5
    # The window over which bursts are counted and paid back.
    window_s: float = 10.0
    plan_every_s: float = 0.2
    # While bursts are paid back.
    plan_every_over_s: float = 1.5
    # What is wanted is the estimate and this many standard deviations of a report's count.
    noise: float = 0.1
    # No Envoy's want is below this part of an even share, so that a first request finds a token.
    floor: float = 0.02
    # A rate changes only by more than this part of it,
    hysteresis: float = 0.04
    # or by what makes the tokens of a fresh bucket worth it within so many seconds.
    cost_s: float = 10.0
    # A bucket holds the requests of so many seconds, at least `burst_min`,
    burst_s: float = 0.05
    burst_min: int = 2
    # and where a window has room for more, up to `burst_most`: these parts of a window for all Envoys together.
    burst_most: int = 20
    # The negative logarithm of what may overflow of a bucket, or lack.
    burst_logs: float = 3.0
    burst_part: float = 0.08
    burst_part_hungry: float = 0.03
    # Bursts beyond this part of a window are paid back in rate.
    spent_part: float = 0.03
    refit: float = 0.8
    # The estimator: the longest average, and how many standard deviations (of one report, of a run) are a change.
    gain_min: float = 0.06
    step_sigmas: float = 3.2
    run_sigmas: float = 1.3
    # An Envoy that did not report for so long after its time is asked whether it is there: soon enough to renew its
    # lease then, late enough that a service which is late itself does not ask all of them.
    overdue_s: float = 3.0
    watch_every_s: float = 0.5
    # A push whose PING was not acknowledged for so long: the Envoy is silent.
    ack_within_s: float = 3.0
    report_acks_after_s: float = 1.0
    # While the state is lost, newcomers get this part of the limit together.
    learning_part: float = 0.05


# One object for all ledgers.
TUNING = Tuning()

# Whoever saw no moment for so long, or one before the last, does not know what happened meanwhile.
GAP_S = 7.0


@dataclass(frozen=True, slots=True)
class LedgerOptions:
    """One limit and how it is divided.

    `limit_per_s` is requests_per_unit over the unit's seconds. `share_min` is the part of an even share that every
    Envoy keeps, used or not (0 to 1). `envoys_expected` ends the learning phase early when so many have reported, and
    keeps room for those who are not there yet; 0: not known. `close_frees`: an Envoy whose stream ended and that did
    not come back with its next report is gone. Without it its lease is waited for, so that one which ends its stream,
    is then cut off from here and goes on serving cannot exceed the limit; a crash then costs its share for longer.
    """

    limit_per_s: float
    share_min: float = 0.02
    envoys_expected: int = 0
    ack: AckMode = AckMode.PING
    close_frees: bool = True
    tuning: Tuning = TUNING
