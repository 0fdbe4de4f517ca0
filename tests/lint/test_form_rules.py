import subprocess
from pathlib import Path

import pytest

from deploy.demo.processes import envoy_binary
from ratelimit.lint.resources import MeshFile
from ratelimit.lint.rules import Level
from ratelimit.lint.together import together_findings
from tests.lint.meshes import BOOTSTRAP, header, sending, shipped


@pytest.mark.parametrize(
    ("policy", "rule", "said"),
    [
        ("{actions: []}", "refused-form", "without actions"),
        ("{actions: [{remote_address: {}, source_cluster: {}}]}", "refused-form", "one action in each"),
        ("{actions: [{}]}", "refused-form", "one action in each"),
        ("{actions: [{remote_adress: {}}]}", "unknown-field", "'remote_adress'"),
        (
            "{actions: [{dynamic_metadata: {descriptor_key: a, metadata_key: {key: b}}}]}",
            "refused-form",
            "dynamic_metadata",
        ),
        ("{actions: [{generic_key: {}}]}", "refused-form", "generic_key without descriptor_value"),
        (
            "{actions: [{request_headers: {header_name: a}}, {remote_address: {}}]}",
            "refused-form",
            "without descriptor_key",
        ),
        ("{actions: [{generic_key: {descriptor_value: '%REQ(x)%'}}]}", "literal-format", "as it stands"),
        ("{actions: [{remote_address: {}}], stage: 11}", "refused-form", "stage '11'"),
        (
            "{actions: [{remote_address: {}}], hits_addend: {format: '%REQ(x-cost)%'}}",
            "untrusted-hits",
            "callers choose",
        ),
        ("{actions: [{remote_address: {}}], hits_addend: {numbers: 2}}", "unknown-field", "'numbers'"),
        ("{actions: [{remote_address: {}}], disabled: true}", "unknown-field", "'disabled'"),
        (header("a", form="string_match: {}"), "refused-form", "empty string_match"),
        (header("a", form="prefix_match: a"), "deprecated-form", "prefix_match is deprecated"),
        (header("a", name="''"), "refused-form", "without name"),
    ],
)
def test_actions(policy: str, rule: str, said: str) -> None:
    """What Envoy refuses or will refuse, in the words of the field."""
    found = [each for each in sending(policy, "{actions: [{remote_address: {}}]}") if each.rule == rule]
    assert any(said in each.said for each in found)


def test_one_word_is_no_format() -> None:
    """A percent sign at an end, or none."""
    assert sending("{actions: [{generic_key: {descriptor_value: '5%'}}]}") == []


FILTER = '"@type": type.googleapis.com/envoy.extensions.filters.%s.ratelimit.v3.RateLimit'
PER_ROUTE = '"@type": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute'
SERVICE = "rate_limit_service: {grpc_service: {envoy_grpc: {cluster_name: r}}}"
HTTP = f"a: {{{FILTER % 'http'}, %s}}\nvirtual_hosts: [{{rate_limits: [{{actions: [{{remote_address: {{}}}}]}}]}}]"
GOOD = f"domain: d, failure_mode_deny: true, timeout: 1s, {SERVICE}"


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (HTTP % GOOD, []),
        (HTTP % f"failure_mode_deny: true, timeout: 1s, {SERVICE}", ["refused-form"]),
        (HTTP % "domain: d, failure_mode_deny: true, timeout: 1s", ["refused-form"]),
        (HTTP % f"domain: d, failure_mode_deny_percent: {{}}, timeout: 250ms, {SERVICE}", ["refused-form"]),
        (HTTP % f"domain: d, timeout: 1s, {SERVICE}", ["failure-mode"]),
        (HTTP % f"{GOOD}, failuremode: true", ["unknown-field"]),
        (f"a: {{{FILTER % 'network'}, {GOOD}, stat_prefix: x, stage: 1}}", ["unknown-field"]),
        (HTTP.replace("virtual_hosts: [{", "virtual_hosts: [{include_vh_rate_limits: true, ") % GOOD,
         ["deprecated-form"]),
        (HTTP.replace("remote_address: {}}]", "remote_address: {}}], hits_addend: {number: 2}") % GOOD,
         ["hits-addend-ignored"]),
        ("clusters: [{connect_timeout: 1s, http2_protocol_options: {a: b}}]", ["deprecated-form"]),
        ('a: {"@type": x/envoy.extensions.filters.http.lua.v3.Lua, inline_code: x}', ["deprecated-form"]),
        ("http_filters: [{name: envoy.filters.http.router}]", ["refused-form"]),
        ("http_filters: [{name: envoy.rate_limit, config: {domain: d}}]", ["refused-form"]),
        (f"typed_per_filter_config: {{a: {{{PER_ROUTE}, b: c}}}}", ["unknown-field"]),
        ("a: {'@type': type.googleapis.com/envoy.api.v2.Cluster}", ["refused-form"]),
    ],
)  # fmt: skip
def test_filters_and_what_stands_around_them(text: str, rules: list[str]) -> None:
    """In files of Envoy's own."""
    found = together_findings([MeshFile("e.yaml", text.encode())], None)
    assert [each.rule for each in found] == rules


# What is replaced in the shipped bootstrap, at its first place.
FORMS = [
    ("transport_api_version: V3", "transport_api_version: V2"),
    ("domain: catalog-ratelimit", "stage: 0"),
    ("timeout: 0.25s", "timeout: 250ms"),
    ("timeout: 0.25s", "stage: 11"),
    ("failure_mode_deny: true", "failure_mode_denied: true"),
    ("descriptor_value: bronze_request", "descriptor_key: tier"),
    ("headers: [{name: x-loyalty, string_match: {exact: bronze}}]", "headers: []"),
    ("string_match: {exact: bronze}", "string_match: {}"),
    ("string_match: {exact: bronze}", "exact_match: bronze"),
    ("rate_limits:\n", "rate_limits:\n                        - actions: []\n"),
    ("rate_limits:\n", "rate_limits:\n                        - actions: [{remote_address: {}, source_cluster: {}}]\n"),
    ("rate_limits:\n", "rate_limits:\n                        - actions: [{remote_address: {}}]\n"),
]


@pytest.mark.integration
def test_envoy_refuses_what_is_said_to_be_refused(tmp_path: Path) -> None:
    """And takes the others: the real one, in its mode that validates."""
    refused, judged = {}, {}
    for index, (old, new) in enumerate(FORMS):
        text = shipped(BOOTSTRAP)
        assert old in text
        text = text.replace(old, new, 1)
        file = tmp_path / f"{index}.yaml"
        file.write_text(text)
        command = [envoy_binary(), "--mode", "validate", "-c", str(file), "--log-level", "critical"]
        refused[new] = subprocess.run(command, capture_output=True, check=False).returncode != 0
        judged[new] = any(
            each.level is Level.ERROR for each in together_findings([MeshFile("e.yaml", text.encode())], None)
        )
    assert judged == refused
    assert sorted(set(refused.values())) == [False, True]
