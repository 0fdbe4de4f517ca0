"""Configuration and Envoy together: what is sent and nothing matches, what nobody sends, and who escapes."""

from collections.abc import Iterator, Sequence

from ratelimit.descriptors.explain import explain_walk, nearest
from ratelimit.descriptors.request import Descriptor
from ratelimit.descriptors.tree import Config, Node
from ratelimit.lint.actions import Entry, Policy
from ratelimit.lint.envoy import Envoy, Group
from ratelimit.lint.finding import Finding, at, listed, quoted
from ratelimit.lint.headers import UNKNOWN, named_values, names_values
from ratelimit.lint.matching import limits_reached, unlimited_value
from ratelimit.lint.tree_rules import below

# More limits than these that nobody sends are told as a number.
UNSENT_MAX = 20


def sent_findings(envoy: Envoy, config: Config) -> Iterator[Finding]:
    """What only both together show."""
    yield from _domains(envoy, config)
    reached: dict[str, set[Node]] = {}
    for group in envoy.groups:
        yield from _group(envoy, group, config, reached)
    for found, descriptor in envoy.network():
        if found.domain in config.domains:
            limits = limits_reached(config.domains[found.domain], descriptor)
            reached.setdefault(found.domain, set()).update(limits)
            if not limits:
                yield _unmatched(config, found.domain, descriptor)
    for domain, sent in reached.items():
        yield from _unsent(config.domains[domain], sent)


def escape_findings(envoy: Envoy) -> Iterator[Finding]:
    """Requests that make no descriptor though others of their kind do; each header once for all that acts together."""
    told = set()
    for group in envoy.groups:
        if group.key not in told:
            told.add(group.key)
            yield from _escapes(envoy.beside(group))


def pairing_findings(envoy: Envoy) -> Iterator[Finding]:
    """Actions without their filter, and filters without actions."""
    for group in envoy.groups:
        filters = [each for each in envoy.filters_of(group.scope) if not each.network]
        if not filters:
            if envoy.filters and not group.domain:
                said = "no rate limit filter of these files acts on the same proxies, so nothing asks for these actions"
                cure = "use the workloadSelector, namespace and context of the filter"
                yield Finding("actions-without-filter", group.item.place, said, cure)
            continue
        if group.kind == "legacy" and all(each.config.get("rate_limits").elements for each in filters):
            said = f"ignored: the filter ({at(filters[0].place)}) has rate_limits of its own"
            yield Finding("legacy-ignored", group.item.place, said, "move them there, or into typed_per_filter_config")
        for policy in group.policies:
            if policy.stage not in {each.stage for each in filters}:
                said = f"stage {policy.stage}: the filter ({at(filters[0].place)}) asks for stage {filters[0].stage}"
                yield Finding("stage-mismatch", policy.place, said, "give both the same stage")
    for each in envoy.filters:
        if not each.network and not any(group.scope.meets(each.scope) for group in envoy.groups):
            said = "no rate_limits in these files belong to this filter, so it asks for nothing"
            yield Finding("filter-without-actions", each.place, said, "add rate_limits, or check their files with it")


def _domains(envoy: Envoy, config: Config) -> Iterator[Finding]:
    asked = {each.domain: each.config for each in envoy.filters}
    asked |= {group.domain: group.item for group in envoy.groups if group.domain}
    for domain, item in asked.items():
        if domain and domain not in config.domains:
            near, _ = nearest(domain, config.domains)
            hint = f"did you mean {listed(list(near))}?" if near else f"there are {listed(list(config.domains))}"
            place = item.get("domain").place
            said = f"the domain {quoted(domain)} is not configured, so nothing is limited"
            yield Finding("unknown-domain", place, said, hint)
    for domain, root in config.domains.items():
        if asked and domain not in asked:
            yield Finding("domain-unasked", root.place, f"no filter of these files asks for {quoted(domain)}")


def _group(envoy: Envoy, group: Group, config: Config, reached: dict[str, set[Node]]) -> Iterator[Finding]:
    told = envoy.domains_of(group)
    # Without a filter nothing tells the domain: it may be any, and of those that nothing reaches nothing is said.
    known = [domain for domain in told or ([] if envoy.filters else config.domains) if domain in config.domains]
    for domain in known if told else ():
        reached.setdefault(domain, set())
    others = envoy.beside(group)
    for policy in group.policies:
        if not known or policy.overrides:
            continue
        matched = False
        for domain in known:
            for descriptor in policy.descriptors():
                found = limits_reached(config.domains[domain], descriptor)
                if found:
                    reached.setdefault(domain, set()).update(found)
                    matched = True
        if not matched:
            yield from (_unmatched(config, known[0], descriptor) for descriptor in policy.descriptors())
        elif not any(other is not policy and other.fires("", None) for other in others):
            yield from _open_values(config.domains[known[0]], policy)


def _unmatched(config: Config, domain: str, descriptor: Sequence[Entry]) -> Finding:
    sent = quoted(", ".join(map(str, descriptor)))
    said = f"sends {sent}, which nothing in the domain {quoted(domain)} matches: it is not limited"
    cure = ""
    if all(entry.key is not None and entry.value is not None for entry in descriptor):
        entries = tuple((entry.key or "", entry.value or "") for entry in descriptor)
        miss = explain_walk(config, domain, Descriptor(entries)).miss
        near = list(miss.near or miss.following) if miss is not None else []
        cure = f"there are {listed(near)}" if near else ""
    return Finding("descriptor-unmatched", descriptor[0].place, said, cure or "add the descriptor, or mend the action")


def _open_values(root: Node, policy: Policy) -> Iterator[Finding]:
    for descriptor in policy.descriptors():
        found = unlimited_value(root, descriptor)
        if found is not None:
            entry, parent = found
            values = [node.value for node in parent.children.values() if node.key == entry.key]
            said = f"only {listed(values)} of {quoted(entry.key or '')} have limits: any other value is unlimited"
            yield Finding("values-unlimited", entry.place, said, f"add a descriptor with the bare key {entry.key}")
            return


def _unsent(root: Node, reached: set[Node]) -> Iterator[Finding]:
    missing = [node for node in below(root) if node.limit is not None and node not in reached]
    for node in missing[:UNSENT_MAX]:
        said = f"no action of these files sends what reaches {quoted(node.composite)}"
        yield Finding("limit-unsent", node.place, said, "add the action, or remove the limit")
    if len(missing) > UNSENT_MAX:
        said = f"{len(missing) - UNSENT_MAX} more limits that no action of these files reaches"
        yield Finding("limit-unsent", root.place, said)


def _escapes(policies: Sequence[Policy]) -> Iterator[Finding]:
    headers: dict[str, Finding] = {}
    for policy in policies:
        for header, item in policy.headers():
            if header and not header.startswith(":") and header not in headers:
                said = _who_escapes(policies, header)
                if said:
                    cure = "add an action with expect_match: false for these values, or one that is always sent"
                    headers[header] = Finding("header-escapes", item.place, said, cure)
    yield from headers.values()


def _who_escapes(policies: Sequence[Policy], header: str) -> str:
    """The values of a header that no policy makes a descriptor of; "" where none escapes."""
    asking = [item for policy in policies for name, item in policy.headers() if name == header]
    values = list(dict.fromkeys(value for item in asking for value in named_values(item)))

    def escapes(value: str | None) -> bool:
        return not any(policy.fires(header, value) for policy in policies)

    if not any(map(names_values, asking)):
        return f"a request without {header} makes no descriptor: it is not limited" if escapes(None) else ""
    who = ["any other value"] if escapes(UNKNOWN) else ["an empty value"] if escapes("") else []
    who += ["a request without it"] if escapes(None) else []
    named = [value for value in values if not escapes(value)]
    only = f"of {header} only {listed(named)} makes a descriptor" if named else f"{header} makes a descriptor at times"
    return f"{only}: {' and '.join(who)} is not limited" if who else ""
