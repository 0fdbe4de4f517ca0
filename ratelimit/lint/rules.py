"""Every rule of `ratelimit check`: its stable name, how much it weighs, and what it finds (docs/lint.md)."""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """An ERROR does not load or limits nobody; a WARNING is hardly meant; a NOTE is worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule; `finds` is one sentence."""

    name: str
    level: Level
    finds: str


_CONFIGURATION = (
    Rule("not-loadable", Level.ERROR, "The service does not load this configuration."),
    Rule("lenient", Level.WARNING, "Only CONFIG_STRICT=false lets this pass."),
    Rule("never-matches", Level.WARNING, "A pattern before it takes all that this descriptor would match."),
    Rule("no-way-back", Level.WARNING, "A level that matched is not left again, so limits beside it are not reached."),
    Rule("redundant-value", Level.WARNING, "The descriptor means what the one that would match without it means."),
    Rule("no-limit", Level.WARNING, "The descriptor has neither a rate_limit nor descriptors below it."),
    Rule("empty-domain", Level.WARNING, "The domain has no limit."),
    Rule("requests-missing", Level.WARNING, "A rate_limit without requests_per_unit denies every request."),
    Rule("zero-requests", Level.WARNING, "A limit of 0 requests denies every request."),
    Rule("largest-limit", Level.WARNING, "A limit of 4294967295 is counted and never reached."),
    Rule("unlimited-with-requests", Level.WARNING, "requests_per_unit says nothing beside unlimited."),
    Rule("unit-multiplier", Level.WARNING, "The window has a shorter name."),
    Rule("no-effect", Level.WARNING, "A field that does nothing where it stands."),
    Rule("replaces-nothing", Level.WARNING, "No limit of the domain that can be replaced has this name."),
    Rule("yaml-value", Level.WARNING, "A text that YAML tools change when they write it again."),
    Rule("yaml-number", Level.WARNING, "A number with a leading 0 is octal."),
    Rule("empty-value", Level.WARNING, "An empty value is no value: every value of the key matches."),
    Rule("value-space", Level.WARNING, "A value with white space at an end, which Envoy does not send."),
)

RULES = {rule.name: rule for rule in (*_CONFIGURATION,)}
