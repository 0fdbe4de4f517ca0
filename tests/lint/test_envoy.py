from dataclasses import replace

import pytest

from ratelimit.lint.envoy import Envoy, Scope, read_envoy
from ratelimit.lint.resources import MeshFile, read_resources

MANAGER = '"@type": type.googleapis.com/envoy.x.HttpConnectionManager'
FILTER = '"@type": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit'
NETWORK = '"@type": type.googleapis.com/envoy.extensions.filters.network.ratelimit.v3.RateLimit'
PER_ROUTE = '"@type": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute'
ONE = "rate_limits: [{actions: [{remote_address: {}}]}]"


def read(*texts: str) -> Envoy:
    """What files say to Envoy."""
    return read_envoy(
        read_resources([MeshFile(f"{index}.yaml", text.encode()) for index, text in enumerate(texts)], [])
    )


def test_filters_and_routes_of_a_bootstrap() -> None:
    """Two managers are kept apart; routes that stand alone belong to both."""
    manager = f"{{{MANAGER}, http_filters: [{{typed_config: {{{FILTER}, domain: %s}}}}], virtual_hosts: [{{{ONE}}}]}}"
    envoy = read(f"a: {manager % 'one'}\nb: {manager % 'two'}", f"virtual_hosts: [{{{ONE}}}]")
    assert [each.domain for each in envoy.filters] == ["one", "two"]
    assert [envoy.domains_of(group) for group in envoy.groups] == [["one"], ["two"], ["one", "two"]]


def test_the_kinds_of_rate_limits() -> None:
    """The filter's, those of virtual hosts and routes, and typed ones, with the policies that act beside them."""
    typed = f"typed_per_filter_config: {{envoy.filters.http.ratelimit: {{{PER_ROUTE}, domain: other, {ONE}}}}}"
    envoy = read(f"a: {{{FILTER}, domain: d, {ONE}}}\nb: {{{ONE}, routes: [{{route: {{{ONE}}}}}, {{{typed}}}]}}")
    assert [group.kind for group in envoy.groups] == ["filter", "legacy", "legacy", "typed"]
    assert [len(envoy.beside(group)) for group in envoy.groups] == [1, 1, 2, 2]
    assert envoy.domains_of(envoy.groups[3]) == ["other"]


def test_a_typed_struct_is_opened() -> None:
    """As EnvoyFilters have it for fields that istiod does not know."""
    struct = (
        '{"@type": type.googleapis.com/xds.type.v3.TypedStruct, type_url: x/envoy.extensions.%s, value: {domain: d}}'
    )
    envoy = read(f"a: {struct % 'filters.http.ratelimit.v3.RateLimit'}")
    assert [(each.domain, each.stage, each.network) for each in envoy.filters] == [("d", 0, False)]


def test_a_network_filter() -> None:
    """It sends what is written, and has no routes."""
    envoy = read(f"a: {{{NETWORK}, domain: d, descriptors: [{{entries: [{{key: a, value: b}}]}}]}}")
    assert [(each.domain, len(descriptor)) for each, descriptor in envoy.network()] == [("d", 1)]


def test_patches_that_are_merged_into_one_virtual_host_act_together() -> None:
    """Of two EnvoyFilters too; what is removed says nothing."""
    patch = (
        "{applyTo: VIRTUAL_HOST, match: {routeConfiguration: {name: %s}}, patch: {operation: %s, value: {" + ONE + "}}}"
    )
    text = "kind: EnvoyFilter\nspec: {workloadSelector: {labels: {a: b}}, configPatches: [%s]}"
    same, other = text % (patch % ("x", "MERGE")), text % (patch % ("y", "MERGE"))
    envoy = read(same, same, other, text % (patch % ("x", "REMOVE")))
    assert [len(envoy.beside(group)) for group in envoy.groups] == [2, 2, 1]
    assert (envoy.patches[0].applies_to, envoy.patches[0].operation) == ("VIRTUAL_HOST", "MERGE")


@pytest.mark.parametrize(
    ("text", "groups"),
    [(f"virtual_hosts: [{{{ONE}}}]", 1), (f"a: {{{PER_ROUTE}, {ONE}}}", 1), (f"istio: {{{ONE}}}", 0), (ONE, 1)],
)
def test_values_of_a_chart_are_not_envoys(text: str, groups: int) -> None:
    """A document without a kind needs a field or a type that Envoy has."""
    assert len(read(text).groups) == groups


BASE = Scope("", "ns", frozenset({("app", "a")}), "SIDECAR_INBOUND")


@pytest.mark.parametrize(
    ("other", "meets"),
    [
        (BASE, True),
        (replace(BASE, labels=frozenset({("version", "1")})), True),
        (replace(BASE, labels=frozenset({("app", "b")})), False),
        (replace(BASE, namespace="other"), False),
        (replace(BASE, namespace="istio-system", labels=frozenset()), True),
        (replace(BASE, context="GATEWAY"), False),
        (replace(BASE, context="ANY"), True),
        (Scope("", manager="m"), False),
    ],
)
def test_scopes_that_meet(other: Scope, meets: bool) -> None:
    """By namespace, labels and context."""
    assert BASE.meets(other) is other.meets(BASE) is meets
