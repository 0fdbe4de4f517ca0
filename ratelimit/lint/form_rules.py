"""What today's Envoy refuses, will refuse, or takes for something else than was meant."""

import difflib
import re
from collections.abc import Iterator

from ratelimit.lint import envoy_fields as fields
from ratelimit.lint.actions import Policy
from ratelimit.lint.envoy import Envoy, Filter, Group, unwrapped
from ratelimit.lint.finding import Finding, quoted
from ratelimit.lint.items import Item, duration_s

_OLD_NAMES = {
    "envoy.rate_limit": "envoy.filters.http.ratelimit",
    "envoy.router": "envoy.filters.http.router",
    "envoy.http_connection_manager": "envoy.filters.network.http_connection_manager",
}
_FORMAT = re.compile(r"%[A-Z0-9_]+[(:%]")
_OLD_TYPES = (".rate_limit.v2.", "/envoy.api.v2.", "http_connection_manager.v2.", ".http.router.v2.")


def form_findings(envoy: Envoy) -> Iterator[Finding]:
    """What is wrong with the form of filters, actions, and what stands around them."""
    for each in envoy.filters:
        yield from _filter(each)
    for group in envoy.groups:
        for policy in group.policies:
            yield from _policy(policy, group)
    for item in (*envoy.documents, *(patch.value for patch in envoy.patches)):
        for inner in item.within():
            yield from _around(inner)
    for patch in envoy.patches:
        for inner in patch.match.within():
            name = inner.get("name")
            if name.text in _OLD_NAMES:
                said = f"no filter has the name {name.text} any more, so this matches nothing"
                yield Finding("old-name", name.place, said, f"write {_OLD_NAMES[name.text]}")


def _filter(each: Filter) -> Iterator[Finding]:
    config = each.config
    yield from unknown_fields(config, fields.NETWORK_FILTER if each.network else fields.FILTER)
    for name in ("domain", "rate_limit_service"):
        if not (config.get(name).text or config.get(name).fields):
            yield Finding("refused-form", config.place, f"Envoy refuses a rate limit filter without {name}")
    if config.get("timeout").given and duration_s(config.get("timeout")) is None:
        said = f"Envoy refuses the timeout {quoted(config.get('timeout').text)}"
        yield Finding("refused-form", config.get("timeout").place, said, "write seconds, such as 0.25s")
    yield from _stage(config)
    if not (config.get("failure_mode_deny").given or config.get("failure_mode_deny_percent").given):
        said = "nothing says what happens when the service does not answer: by default every request passes, unlimited"
        yield Finding("failure-mode", config.place, said, "write failure_mode_deny: true (500 then), or false")
    yield from _service(config.get("rate_limit_service"))


def _service(service: Item) -> Iterator[Finding]:
    grpc = service.get("grpc_service")
    yield from unknown_fields(service, fields.SERVICE)
    yield from unknown_fields(grpc, fields.GRPC_SERVICE)
    yield from unknown_fields(grpc.get("envoy_grpc"), fields.ENVOY_GRPC)
    for holder in (grpc, grpc.get("envoy_grpc")):
        yield from unknown_fields(holder.get("retry_policy"), fields.RETRY_POLICY)
    version = service.get("transport_api_version")
    if version.text == "V2":
        yield Finding("refused-form", version.place, "Envoy has no version 2 of its API any more", "write V3")


def _policy(policy: Policy, group: Group) -> Iterator[Finding]:
    yield from unknown_fields(policy.item, fields.POLICY)
    yield from _stage(policy.item)
    if not policy.item.get("actions").elements:
        yield Finding("refused-form", policy.place, "Envoy refuses an element of rate_limits without actions")
    for name, action in policy.actions():
        yield from _action(name, action)
    hits = policy.item.get("hits_addend")
    yield from unknown_fields(hits, fields.HITS_ADDEND)
    if hits.given and group.kind == "legacy":
        said = "hits_addend is ignored here"
        cure = "move the policy into typed_per_filter_config, or into the filter's own rate_limits"
        yield Finding("hits-addend-ignored", hits.place, said, cure)
    if "%REQ(" in hits.get("format").text.upper():
        said = (
            "callers choose this header: a text that is no number, or none, drops the descriptor and with it the limit"
        )
        yield Finding("untrusted-hits", hits.get("format").place, said, "take it from dynamic metadata, or a constant")


def _action(name: str, action: Item) -> Iterator[Finding]:
    if not name:
        yield Finding("refused-form", action.place, "Envoy wants one action in each element of actions")
        return
    if name not in fields.ACTIONS:
        yield _unknown(name, action, frozenset(fields.ACTIONS))
        return
    if name == "dynamic_metadata":
        yield Finding("refused-form", action.place, "Envoy refuses the action dynamic_metadata", "write metadata")
    yield from unknown_fields(action, fields.ACTIONS[name])
    for wanted in fields.REQUIRED.get(name, ()):
        found = action.get(wanted)
        if not (found.text or found.fields or found.elements):
            yield Finding("refused-form", action.place, f"Envoy refuses {name} without {wanted}")
    value = action.get("descriptor_value")
    if _FORMAT.search(value.text):
        said = f"{quoted(value.text)} is sent as it stands, unless a runtime flag makes a format of it"
        yield Finding("literal-format", value.place, said, "use request_headers or metadata for a value of the request")
    for matcher in action.get("headers").elements:
        yield from _matcher(matcher)


def _matcher(matcher: Item) -> Iterator[Finding]:
    yield from unknown_fields(matcher, fields.HEADER_MATCHER)
    yield from unknown_fields(matcher.get("string_match"), fields.STRING_MATCHER)
    if not matcher.get("name").text:
        yield Finding("refused-form", matcher.place, "Envoy refuses a header matcher without name")
    string_match = matcher.get("string_match")
    if string_match.given and not {name for name, _ in string_match.named()} - {"ignore_case"}:
        yield Finding("refused-form", string_match.place, "Envoy refuses an empty string_match", "write exact: …")
    for name, item in matcher.named():
        if name in fields.DEPRECATED_MATCHES:
            cure = f"write {fields.DEPRECATED_MATCHES[name]}"
            yield Finding("deprecated-form", item.place, f"{name} is deprecated", cure)


def _stage(item: Item) -> Iterator[Finding]:
    stage = item.get("stage")
    if stage.given and not (stage.text.isdigit() and len(stage.text) < 3 and int(stage.text) <= fields.STAGE_MAX):
        said = f"Envoy refuses the stage {quoted(stage.text)}"
        yield Finding("refused-form", stage.place, said, f"write 0 to {fields.STAGE_MAX}")


def _around(item: Item) -> Iterator[Finding]:
    """What may stand anywhere: old types, per-route configs, clusters, routes, Lua, filters without a type."""
    named = unwrapped(item)[1]
    if any(old in named for old in _OLD_TYPES):
        said = f"Envoy has no type {quoted(named.rpartition('/')[2])} any more"
        yield Finding("refused-form", item.get("@type").place, said, "use the v3 type of the same name")
    if named.endswith(".RateLimitPerRoute"):
        yield from unknown_fields(unwrapped(item)[0], fields.PER_ROUTE)
    if item.get("include_vh_rate_limits").given:
        said, cure = "include_vh_rate_limits is deprecated", "write vh_rate_limits in a RateLimitPerRoute"
        yield Finding("deprecated-form", item.get("include_vh_rate_limits").place, said, cure)
    if item.get("http2_protocol_options").given and item.get("connect_timeout").given:
        said = "http2_protocol_options of a cluster is deprecated"
        cure = "write typed_extension_protocol_options with HttpProtocolOptions"
        yield Finding("deprecated-form", item.get("http2_protocol_options").place, said, cure)
    if item.get("inline_code").given and named.endswith(".lua.v3.Lua"):
        said, cure = "inline_code is deprecated", "write default_source_code: {inline_string: …}"
        yield Finding("deprecated-form", item.get("inline_code").place, said, cure)
    name = item.get("name").text
    untyped = not (item.get("typed_config").fields or item.get("config_discovery").given)
    router = name == "envoy.filters.http.router" and not item.get("typed_per_filter_config").given
    if untyped and (router or (name.startswith("envoy.") and item.get("config").given)):
        said = f"Envoy refuses the filter {name} without typed_config"
        yield Finding("refused-form", item.place, said, "add typed_config with its @type")


def unknown_fields(item: Item, known: frozenset[str]) -> Iterator[Finding]:
    """A finding for each field that Envoy does not know here."""
    for name, inner in item.named():
        if name not in known:
            yield _unknown(name, inner, known)


def _unknown(name: str, item: Item, known: frozenset[str]) -> Finding:
    near = difflib.get_close_matches(name[:60], known, n=1)
    said = f"Envoy does not know {quoted(name)} here and refuses it; istiod drops it from an EnvoyFilter"
    return Finding("unknown-field", item.place, said, f"did you mean {near[0]}?" if near else "remove it")
