"""Policies that keep the caller out: what a filter asks, held against NetworkPolicy, AuthorizationPolicy and Sidecar.

Only what the files tell is judged: labels and accounts that they do not have may be the right ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ratelimit.lint.envoy import ROOT_NAMESPACE, Envoy, Filter
from ratelimit.lint.finding import Finding, listed
from ratelimit.lint.items import Item, number
from ratelimit.lint.mesh import Mesh, Target, selector_of
from ratelimit.lint.resources import Resource, labels_of

METHOD = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
_NAME_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Caller:
    """The proxies of a filter; `all_labels` tells that the files know all of their labels, `account` may be ""."""

    namespace: str
    labels: Mapping[str, str]
    all_labels: bool
    account: str

    def may_have(self, selector: Item) -> bool:
        """Whether a label selector may select it."""
        wanted = labels_of(selector.get("matchLabels"))
        return all(self.labels.get(name, None if self.all_labels else value) == value for name, value in wanted.items())


def policy_findings(envoy: Envoy, mesh: Mesh) -> Iterator[Finding]:
    """Each policy that keeps a caller of these files out."""
    for each in envoy.filters:
        target = mesh.target_of(each)
        if target is not None and each.scope.namespace and each.scope.labels:
            caller = _caller(each, mesh)
            ports = mesh.target_ports(target.service, target.port)
            yield from _network(caller, target, ports, mesh)
            yield from _authorization(caller, target, ports, mesh)
            yield from _sidecar(caller, target, mesh)


def _caller(each: Filter, mesh: Mesh) -> Caller:
    labels = dict(each.scope.labels)
    known, whole = mesh.known_labels(each.scope.namespace, labels)
    return Caller(each.scope.namespace, known, whole, mesh.account_of(each.scope.namespace, labels))


def _selects(policy: Resource, selector: Item, target: Target, mesh: Mesh) -> bool:
    """Whether a policy is about the pods of the service."""
    labels, _ = mesh.known_labels(target.service.namespace, selector_of(target.service))
    everywhere = policy.kind == "AuthorizationPolicy" and policy.namespace == ROOT_NAMESPACE
    wanted = labels_of(selector.get("matchLabels"))
    return (everywhere or policy.namespace == target.service.namespace) and wanted.items() <= labels.items()


def _network(caller: Caller, target: Target, ports: set[int], mesh: Mesh) -> Iterator[Finding]:
    found = [
        policy
        for policy in mesh.of_kind("NetworkPolicy")
        if _selects(policy, policy.spec.get("podSelector"), target, mesh) and _about_ingress(policy)
    ]
    rules = [rule for policy in found for rule in policy.spec.get("ingress").elements]
    if found and not any(_lets_in(rule, caller, target, ports, mesh) for rule in rules):
        who = listed([f"{name}={value}" for name, value in caller.labels.items()])
        said = (
            f"lets nobody with {who} of namespace {caller.namespace} reach port {target.port} of {target.service.name}"
        )
        yield Finding("network-policy", found[0].item.place, said, "add an ingress rule for the caller and this port")


def _about_ingress(policy: Resource) -> bool:
    types = [each.text for each in policy.spec.get("policyTypes").elements]
    return "Ingress" in types or not types


def _lets_in(rule: Item, caller: Caller, target: Target, ports: set[int], mesh: Mesh) -> bool:
    asked = rule.get("ports").elements
    sources = rule.get("from").elements
    by_port = not asked or not ports or any(_is_port(each, ports) for each in asked)
    return by_port and (not sources or any(_is_source(each, caller, target, mesh) for each in sources))


def _is_port(item: Item, ports: set[int]) -> bool:
    port = number(item.get("port"))
    # A name is that of a container's port: it is not followed.
    if not item.get("port").given or port is None:
        return True
    return any(port <= each <= (number(item.get("endPort")) or port) for each in ports)


def _is_source(item: Item, caller: Caller, target: Target, mesh: Mesh) -> bool:
    if item.get("ipBlock").given:
        return True
    spaces, pods = item.fields.get("namespaceSelector"), item.fields.get("podSelector")
    if spaces is None:
        here = caller.namespace == target.service.namespace
    else:
        known = {_NAME_LABEL: caller.namespace}
        for each in mesh.of_kind("Namespace"):
            if each.name == caller.namespace:
                known |= labels_of(each.item.get("metadata", "labels"))
        wanted = labels_of(spaces.get("matchLabels"))
        here = all(known.get(name, value) == value for name, value in wanted.items())
    return here and (pods is None or caller.may_have(pods))


def _authorization(caller: Caller, target: Target, ports: set[int], mesh: Mesh) -> Iterator[Finding]:
    about = [
        policy
        for policy in mesh.of_kind("AuthorizationPolicy")
        if _selects(policy, policy.spec.get("selector"), target, mesh)
    ]
    allowing = [policy for policy in about if policy.spec.get("action").text in {"", "ALLOW"}]
    rules = [rule for policy in allowing for rule in policy.spec.get("rules").elements]
    asking = [rule for rule in rules if _is_operation(rule, ports)]
    if allowing and not asking:
        said = f"no rule allows {METHOD} on port {target.port} of {target.service.name}"
        yield Finding("authorization-policy", allowing[0].item.place, said, "add a rule with its port and path")
    elif allowing and not any(_is_principal(rule, caller) for rule in asking):
        account = caller.account or "…"
        said = f"no rule allows the account of the caller, cluster.local/ns/{caller.namespace}/sa/{account}"
        yield Finding("authorization-policy", asking[0].place, said, "add it to the principals")
    elif allowing and not caller.account:
        names = [name for rule in asking for name in _accounts(rule, caller.namespace)]
        if names and not any(_alike(name, caller.labels) for name in names):
            said = f"only accounts {listed(names)} of the caller's namespace may ask; is the caller one of them?"
            yield Finding("caller-account", asking[0].place, said, "check its serviceAccountName")
    for policy in about:
        if policy.spec.get("action").text == "DENY":
            yield from _denied(policy, caller, target, ports)


def _denied(policy: Resource, caller: Caller, target: Target, ports: set[int]) -> Iterator[Finding]:
    """Only rules that say nothing but who, or which port or path."""
    for rule in policy.spec.get("rules").elements:
        who, what = rule.get("from").elements, rule.get("to").elements
        plain = not rule.get("when").elements and not any(_has_negation(each) for each in (*who, *what))
        certain = not who or bool(caller.account)
        if plain and certain and ports and _is_operation(rule, ports) and _is_principal(rule, caller):
            said = f"denies the caller of namespace {caller.namespace} port {target.port} of {target.service.name}"
            yield Finding("authorization-policy", rule.place, said, "leave the caller out of it")


def _has_negation(item: Item) -> bool:
    return any(name.startswith("not") for inner in item.within() for name in inner.fields)


def _is_operation(rule: Item, ports: set[int]) -> bool:
    """Whether a rule takes a call of the service's method."""
    operations = [each.get("operation") for each in rule.get("to").elements]
    return not operations or any(
        _one_of(each.get("ports"), [str(port) for port in ports])
        and _one_of(each.get("paths"), [METHOD])
        and _one_of(each.get("methods"), ["POST"])
        for each in operations
    )


def _is_principal(rule: Item, caller: Caller) -> bool:
    sources = [each.get("source") for each in rule.get("from").elements]
    return not sources or any(
        _one_of(each.get("namespaces"), [caller.namespace])
        and (
            not each.get("principals").elements
            or any(_may_be(name.text, caller) for name in each.get("principals").elements)
        )
        for each in sources
    )


def _may_be(principal: str, caller: Caller) -> bool:
    """Whether a principal may be the caller's: its trust domain is not looked at."""
    parts = principal.split("/")
    if "*" in principal or len(parts) != 5:
        suffix = f"/ns/{caller.namespace}/sa/{caller.account}"
        return not principal.startswith("*/ns/") or not caller.account or suffix.endswith(principal[1:])
    return parts[2] == caller.namespace and caller.account in {"", parts[4]}


def _accounts(rule: Item, namespace: str) -> list[str]:
    """The accounts of a namespace that a rule names; none where it names no accounts at all."""
    names = [
        name.text.split("/") for each in rule.get("from").elements for name in each.get("source", "principals").elements
    ]
    return [parts[4] for parts in names if len(parts) == 5 and parts[2] == namespace and "*" not in parts[4]]


def _alike(account: str, labels: Mapping[str, str]) -> bool:
    return account == "default" or any(value in account or account in value for value in labels.values() if value)


def _one_of(patterns: Item, texts: Sequence[str]) -> bool:
    """Whether Istio's patterns (`*`, `a*`, `*a`) take one of the texts; no pattern, or no text, is a yes."""
    return (
        not patterns.elements
        or not texts
        or any(_takes(pattern.text, text) for pattern in patterns.elements for text in texts)
    )


def _takes(pattern: str, text: str) -> bool:
    if pattern.startswith("*"):
        return text.endswith(pattern[1:])
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def _sidecar(caller: Caller, target: Target, mesh: Mesh) -> Iterator[Finding]:
    """A Sidecar of the caller that does not import the service: its proxy has no such cluster."""
    for sidecar in mesh.of_kind("Sidecar"):
        labels = labels_of(sidecar.spec.get("workloadSelector", "labels"))
        hosts = [host for egress in sidecar.spec.get("egress").elements for host in egress.get("hosts").elements]
        about = sidecar.namespace == caller.namespace and labels.items() <= caller.labels.items()
        if about and hosts and not any(_imports(host.text, caller, target) for host in hosts):
            namespace = target.service.namespace
            said = "its egress does not import the rate limit service: the proxy has no cluster to ask"
            cure = f"add {namespace}/{target.service.name}.{namespace}.svc.cluster.local"
            yield Finding("sidecar-egress", sidecar.item.place, said, cure)


def _imports(host: str, caller: Caller, target: Target) -> bool:
    namespace, _, name = host.partition("/")
    service = target.service
    if namespace not in {"*", service.namespace} and not (namespace == "." and service.namespace == caller.namespace):
        return False
    return _takes(name, f"{service.name}.{service.namespace}.svc.cluster.local")
