"""Envoy Gateway: rate limits of BackendTrafficPolicies, and what it does when the service does not answer."""

from collections.abc import Iterator

from ratelimit.lint.finding import Finding, listed
from ratelimit.lint.items import Item
from ratelimit.lint.mesh import Mesh
from ratelimit.lint.resources import Resource

_UNITS = ("Second", "Minute", "Hour", "Day", "Week", "Month", "Year")


def gateway_findings(mesh: Mesh) -> Iterator[Finding]:
    """The findings of all policies and of the gateway's own configuration."""
    for policy in mesh.of_kind("BackendTrafficPolicy"):
        yield from _policy(policy)
    for gateway in mesh.of_kind("EnvoyGateway"):
        limiting = gateway.item.get("rateLimit")
        if limiting.given and not limiting.get("failClosed").given:
            said = "nothing says what happens when the service does not answer: by default every request passes"
            yield Finding("failure-mode", limiting.place, said, "write failClosed: true (500 then), or false")


def _policy(policy: Resource) -> Iterator[Finding]:
    limiting = policy.spec.get("rateLimit")
    rules = limiting.get("global", "rules").elements
    if limiting.get("type").text == "Global" and not rules:
        yield Finding("no-limit", limiting.place, "Global without rules: nothing is limited", "add global: {rules: …}")
    for rule in rules:
        yield from _rule(rule)
    yield from _escapes(rules)


def _rule(rule: Item) -> Iterator[Finding]:
    limit = rule.get("limit")
    if limit.get("requests").text == "0":
        place = limit.get("requests").place
        yield Finding("zero-requests", place, "0 requests: every request is denied", "write how many may pass")
    if limit.get("unit").given and limit.get("unit").text not in _UNITS:
        said = f"the unit {limit.get('unit').text!r} is refused"
        yield Finding("refused-form", limit.get("unit").place, said, f"write one of {', '.join(_UNITS)}")


def _escapes(rules: list[Item]) -> Iterator[Finding]:
    """Rules that name values of a header, and none that takes the rest."""
    named: dict[str, list[Item]] = {}
    for rule in rules:
        selectors = rule.get("clientSelectors").elements
        headers = [header for selector in selectors for header in selector.get("headers").elements]
        if not headers or any(
            header.get("type").text == "Distinct" or header.get("invert").is_true for header in headers
        ):
            return
        for header in headers:
            named.setdefault(header.get("name").text.lower(), []).append(header.get("value"))
    for name, values in named.items():
        said = f"only {listed([value.text for value in values])} of {name} has a limit: any other value has none"
        cure = "add a rule with type: Distinct, or one without clientSelectors"
        yield Finding("header-escapes", values[0].place, said, cure)
