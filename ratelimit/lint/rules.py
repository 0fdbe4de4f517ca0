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
    Rule("too-small-to-divide", Level.WARNING, "Too many Envoys share the limit for its size."),
    Rule("unknown-rule", Level.WARNING, "A comment names a rule that there is not, so it excuses nothing."),
)

_TOGETHER = (
    Rule("not-readable", Level.ERROR, "A file beside the configuration cannot be read."),
    Rule("template", Level.NOTE, "A file is a template and no plain YAML, so it is left out."),
    Rule("repeated-key", Level.WARNING, "A key is given twice, and only the last counts."),
    Rule("unknown-domain", Level.ERROR, "A filter asks for a domain that is not configured."),
    Rule("domain-unasked", Level.NOTE, "No filter asks for a configured domain."),
    Rule("descriptor-unmatched", Level.WARNING, "Actions send a descriptor that nothing matches."),
    Rule("limit-unsent", Level.WARNING, "No action sends what reaches a limit."),
    Rule("header-escapes", Level.WARNING, "Requests with some values of a header, or without it, make no descriptor."),
    Rule("values-unlimited", Level.WARNING, "Callers choose a value, and only some values have limits."),
    Rule("actions-without-filter", Level.WARNING, "No rate limit filter asks for these actions."),
    Rule("filter-without-actions", Level.WARNING, "A rate limit filter has no actions, so it asks for nothing."),
    Rule("legacy-ignored", Level.WARNING, "The filter has rate_limits of its own, so those of routes are ignored."),
    Rule("stage-mismatch", Level.WARNING, "Actions are of another stage than the filter."),
)
_ENVOY = (
    Rule("refused-form", Level.ERROR, "Envoy refuses this form."),
    Rule("unknown-field", Level.ERROR, "Envoy does not know this field."),
    Rule("deprecated-form", Level.WARNING, "Envoy takes this form with a warning, and will refuse it."),
    Rule("old-name", Level.WARNING, "The name of a filter that Envoy does not use any more."),
    Rule("failure-mode", Level.WARNING, "Nothing decides what happens when the service does not answer."),
    Rule("literal-format", Level.WARNING, "A format that is sent as it stands."),
    Rule("hits-addend-ignored", Level.WARNING, "hits_addend does nothing in the rate_limits of routes."),
    Rule("untrusted-hits", Level.WARNING, "A header of the caller decides how much a request costs."),
    Rule("timeout-default", Level.NOTE, "The filter waits for its default of 20 ms."),
    Rule("timeout-order", Level.WARNING, "Envoy gives up before the service does."),
    Rule("grpc-timeout-ignored", Level.WARNING, "The timeout of grpc_service does nothing."),
    Rule("retry-max-interval", Level.WARNING, "max_interval of a retry ends each try too early."),
    Rule("retry-charges-twice", Level.WARNING, "A retry of a call that may have been counted."),
)
_MESH = (
    Rule("wrong-virtual-host", Level.WARNING, "A match that hits no virtual host, route or listener."),
    Rule("host-by-name", Level.NOTE, "A virtual host matched by a name that has the Service's port."),
    Rule("shared-virtual-host", Level.WARNING, "The virtual host is that of other hosts too."),
    Rule("double-filter", Level.WARNING, "The filter is inserted twice, so requests are counted twice."),
    Rule("filter-order", Level.ERROR, "The filter stands behind the router."),
    Rule("no-workload-selector", Level.WARNING, "Every proxy gets the filter."),
    Rule("unknown-cluster", Level.WARNING, "The filter asks a cluster or port that is not there."),
    Rule("grpc-port", Level.WARNING, "Nothing says that the service's port speaks HTTP/2."),
    Rule("network-policy", Level.WARNING, "A NetworkPolicy keeps the caller out."),
    Rule("authorization-policy", Level.WARNING, "An AuthorizationPolicy keeps the caller out."),
    Rule("caller-account", Level.WARNING, "An AuthorizationPolicy names accounts, none like the caller's name."),
    Rule("sidecar-egress", Level.WARNING, "A Sidecar does not import the service."),
)

RULES = {rule.name: rule for rule in (*_CONFIGURATION, *_TOGETHER, *_ENVOY, *_MESH)}
