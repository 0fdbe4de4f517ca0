from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.descriptors.tree import Config
from ratelimit.lint.resources import MeshFile, folder_below
from ratelimit.lint.rules import Level
from ratelimit.lint.together import together_findings
from tests.descriptors.texts import KEYS, SCALARS, damaged, noise
from tests.lint.meshes import (
    ACTIONS,
    AUTHORIZATION,
    BOOTSTRAP,
    CATALOG_SERVICE,
    FILTER,
    ROOT,
    SERVICE,
    SHIPPED,
    SINGLE,
    config_of,
    found_in,
    planted,
    shipped,
)

# A mistake in one of the shipped files: what is replaced, the rule that names it, and its line.
MISTAKES = [
    (ACTIONS, "routeConfiguration: {portNumber: 3000}", "routeConfiguration: {vhost: {name: 'inbound|http|3000'}}",
     "wrong-virtual-host", 0),
    (ACTIONS, "portNumber: 3000", "portNumber: 80", "wrong-virtual-host", 0),
    (ACTIONS, "descriptor_value: gold_request", "descriptor_value: gold", "descriptor-unmatched", 0),
    (ACTIONS, "expect_match: false", "expect_match: true", "header-escapes", -13),
    (ACTIONS, "string_match: {exact: silver}", "exact_match: silver", "deprecated-form", 0),
    (ACTIONS, "string_match: {exact: bronze}", "string_matches: {exact: bronze}", "unknown-field", 0),
    (ACTIONS, "labels: {app: catalog}", "labels: {app: katalog}", "actions-without-filter", 10),
    (ACTIONS, "headers: [{name: x-loyalty, string_match: {exact: bronze}}]", "headers: []", "refused-form", -1),
    (FILTER, "domain: catalog-ratelimit", "domain: catalog-rate-limit", "unknown-domain", 0),
    (FILTER, "failure_mode_deny: true", "stage: 0", "failure-mode", -2),
    (FILTER, "timeout: 0.25s", "timeout: 0.05s", "timeout-order", 0),
    (FILTER, "            timeout: 0.25s\n", "", "timeout-order", -4),
    (FILTER, "max_interval: 0.25s", "max_interval: 0.02s", "retry-max-interval", 0),
    (FILTER, ", max_interval: 0.25s", "", "retry-max-interval", 0),
    (FILTER, "connect-failure,refused-stream", "connect-failure,reset", "retry-charges-twice", 0),
    (FILTER, "transport_api_version: V3", "transport_api_version: V2", "refused-form", 0),
    (FILTER, "transport_api_version: V3", "transport_version: V3", "unknown-field", 0),
    (FILTER, "INSERT_BEFORE", "INSERT_AFTER", "filter-order", 0),
    (FILTER, "name: envoy.filters.http.router", "name: envoy.router", "old-name", 0),
    (FILTER, "outbound|8081||", "outbound|8080||", "unknown-cluster", 0),
    (FILTER, "  workloadSelector:\n    labels: {app: catalog}\n", "", "no-workload-selector", -6),
    (SERVICE, "matchLabels: {app: catalog}", "matchLabels: {app: other}", "network-policy", -12),
    (SERVICE, "ports: [{port: 8081}]", "ports: [{port: 8080}]", "network-policy", -13),
    (SERVICE, "value: 100ms", "value: 1s", "timeout-order", None),
    (SERVICE, "      appProtocol: kubernetes.io/h2c\n", "      appProtocol: http\n", "grpc-port", -3),
    (AUTHORIZATION, "ns/istioinaction/sa/catalog", "ns/other/sa/catalog", "authorization-policy", -1),
    (AUTHORIZATION, "sa/catalog", "sa/orders", "caller-account", -1),
    (AUTHORIZATION, 'ports: ["8081"]', 'ports: ["8080"]', "authorization-policy", -14),
    (AUTHORIZATION, "RateLimitService/ShouldRateLimit", "RateLimitService/Should", "authorization-policy", -16),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "rule", "offset"), MISTAKES)
def test_a_planted_mistake_is_named(name: str, old: str, new: str, rule: str, offset: int | None) -> None:
    """With its rule, its file and its line, counted from where it is planted; None where another file is named."""
    lines = [each.place for each in planted(name, old, new) if each.rule == rule]
    assert lines
    if offset is None:
        assert all(place.file != name for place in lines)
    else:
        where = shipped(name)[: shipped(name).index(old)].count("\n") + 1 + offset
        assert (name, where) in {(place.file, place.line) for place in lines}


def shipped_sets() -> list[list[str]]:
    """The folders that are applied together, and each variant by itself and with the service."""
    deploy = ROOT / "deploy"
    service = sorted(path.relative_to(deploy).as_posix() for path in (deploy / "kubernetes").glob("*.yaml"))
    mesh = sorted(path.relative_to(deploy).as_posix() for path in (deploy / "istio").glob("*.yaml"))
    others = {path.parent for path in (deploy / "istio").glob("*/*.yaml")} | {deploy / "envoy"}
    sets = [service, mesh, [*service, *mesh]]
    for folder in sorted(others):
        names = [path.relative_to(deploy).as_posix() for path in sorted(folder.glob("*.yaml"))]
        # The Wasm plugin's descriptor is sent beside the others; the other variants stand for themselves.
        names = [*mesh, *names] if folder.name == "wasm" else names
        sets += [names, [*service, *names]]
    return sets


def extended(wanted: bool) -> Config:
    """The catalog's configuration; where it is wanted with the limit that the Wasm plugin's descriptor needs."""
    limit = "  - key: path_group\n    rate_limit: {unit: minute, requests_per_unit: 9}\n"
    return config_of(shipped("../config/catalog.yaml") + (limit if wanted else ""))


@pytest.mark.parametrize("names", shipped_sets(), ids=lambda names: f"{len(names)}-{names[-1]}")
def test_our_own_files_have_no_warnings(names: list[str]) -> None:
    """Whatever of them is applied together."""
    found = found_in({name: shipped(name) for name in names}, extended("istio/wasm" in names[-1]))
    assert [each.text for each in found if each.level is not Level.NOTE] == []


def test_our_own_files_have_no_warnings_all_at_once() -> None:
    """As `ratelimit check --envoy deploy` reads them: each folder by itself, policies of all."""
    deploy = ROOT / "deploy"
    files = [
        MeshFile(str(path), path.read_bytes(), folder_below(path, deploy))
        for folder in ("kubernetes", "istio", "envoy")
        for path in sorted((deploy / folder).rglob("*.yaml"))
    ]
    found = together_findings(files, extended((deploy / "istio" / "wasm").exists()))
    assert [each.text for each in found if each.level is not Level.NOTE] == []


def test_the_filter_twice() -> None:
    """The variant in one resource beside the filter, for the same proxies; not where they are of two folders."""
    files = {name: shipped(name) for name in (*SHIPPED, SINGLE)}
    rules = {each.rule: each for each in found_in(files)}
    assert {"double-filter", "legacy-ignored"} & rules.keys() == {"double-filter"}
    assert rules["double-filter"].place.file == SINGLE
    assert f"({FILTER}:" in rules["double-filter"].said


def test_a_service_port_tells_the_virtual_host() -> None:
    """With the Service among the files `inbound|http|80` is right, 3000 is not, and the cure is its port."""
    files = {name: shipped(name) for name in SHIPPED} | {"catalog.yaml": CATALOG_SERVICE}
    for port, wrong in (("80", []), ("3000", ["write inbound|http|80"])):
        host = f"routeConfiguration: {{vhost: {{name: 'inbound|http|{port}'}}}}"
        files[ACTIONS] = shipped(ACTIONS).replace("routeConfiguration: {portNumber: 3000}", host)
        found = [each.cure for each in found_in(files) if each.rule == "wrong-virtual-host"]
        assert [cure.split(",")[0] for cure in found] == wrong


def test_a_bootstrap_with_mistakes() -> None:
    """The same rules hold where there is no mesh."""
    rules = [each.rule for each in planted(BOOTSTRAP, "cluster_name: ratelimit,", "cluster_name: nobody,", BOOTSTRAP)]
    assert rules == ["unknown-cluster"]
    escaping = planted(BOOTSTRAP, "expect_match: false", "expect_match: true", BOOTSTRAP)
    assert [each.rule for each in escaping] == ["header-escapes"]
    assert "any other value and a request without it is not limited" in escaping[0].said


def test_without_a_configuration_files_still_tell() -> None:
    """What only both together show is left out."""
    text = shipped(FILTER).replace("failure_mode_deny: true", "domain: x")
    rules = {each.rule for each in together_findings([MeshFile("f.yaml", text.encode())], None)}
    assert "failure-mode" in rules
    assert "unknown-domain" not in rules


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a: [", "not-readable"),
        ("a: !vault x", "not-readable"),
        ("{{- if .Values.x }}\na: {{ .Values.b }}\n", "template"),
        ("a: 1\na: 2\n", "repeated-key"),
        ("\xff", None),
        ("", None),
        ("- 1\n- [a]\n---\njust text\n---\n~\n", None),
        ("kind: [a]\nmetadata: 5\nspec: x\n", None),
        ("kind: EnvoyFilter\nspec: {configPatches: [5, {match: 1, patch: []}]}", None),
        ("kind: List\nitems: [{kind: Service, spec: 1}, 7]", None),
        ("kind: Unknown\napiVersion: a/b", None),
    ],
)
def test_bad_input_is_a_finding_or_nothing(text: str, rule: str | None) -> None:
    """Broken, templated, repeated, of other kinds or none: never an exception."""
    found = together_findings([MeshFile("e.yaml", text.encode())], config_of())
    assert [each.rule for each in found if each.rule != "domain-unasked"] == ([rule] if rule else [])


_WORDS = """kind EnvoyFilter NetworkPolicy AuthorizationPolicy Service Deployment VirtualService BackendTrafficPolicy
spec metadata name namespace configPatches applyTo HTTP_FILTER VIRTUAL_HOST match patch operation ADD value
typed_config rate_limits actions header_value_match headers request_headers generic_key descriptor_value
ports port 8081 3000 hosts ingress from rules labels selector listener portNumber routeConfiguration vhost
context SIDECAR_INBOUND string_match exact safe_regex regex containers env timeout 0.1s stage hits_addend
retry_policy limit items List"""
WORDS = _WORDS.split()
TYPE = "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit"
scalars = st.one_of(st.sampled_from(WORDS), st.sampled_from(SCALARS), st.sampled_from(KEYS), noise)
trees = st.recursive(
    st.one_of(scalars, st.just(f'{{"@type": {TYPE}, rate_limits: [{{actions: [{{remote_address: {{}}}}]}}]}}')),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda each: "[" + ", ".join(each) + "]"),
        st.dictionaries(st.sampled_from(WORDS), inner, max_size=4).map(
            lambda each: "{" + ", ".join(f"{key}: {value}" for key, value in each.items()) + "}"
        ),
    ),
    max_leaves=25,
)
SHIPPED_TEXTS = [shipped(name) for name in (*SHIPPED, SINGLE, BOOTSTRAP)]


@settings(max_examples=50)
@given(st.lists(damaged(st.one_of(trees, st.sampled_from(SHIPPED_TEXTS))), min_size=1, max_size=3))
def test_no_yaml_raises(texts: list[str]) -> None:
    """Random trees of the right words, and the shipped files damaged."""
    files = [MeshFile(f"{index}.yaml", text.encode("utf-8", "surrogatepass")) for index, text in enumerate(texts)]
    found = together_findings([*files, MeshFile("own.yaml", Path(__file__).read_bytes())], config_of())
    assert all(each.text for each in found)
