import pytest

from ratelimit.lint.resources import MeshFile
from ratelimit.lint.together import together_findings

POLICY = "kind: BackendTrafficPolicy\nspec: {rateLimit: {type: Global, global: {rules: [%s]}}}"
LIMIT = "limit: {requests: 3, unit: Hour}"
GOLD = f"{{clientSelectors: [{{headers: [{{name: X-Tier, type: Exact, value: gold}}]}}], {LIMIT}}}"


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (POLICY % f"{{{LIMIT}}}", []),
        (POLICY % GOLD, ["header-escapes"]),
        (POLICY % f"{GOLD}, {{{LIMIT}}}", []),
        (POLICY % f"{GOLD}, {GOLD.replace('type: Exact, value: gold', 'type: Distinct')}", []),
        (POLICY % f"{GOLD}, {GOLD.replace('value: gold', 'value: gold, invert: true')}", []),
        (POLICY % "", ["no-limit"]),
        (POLICY % "{limit: {requests: 0, unit: Hour}}", ["zero-requests"]),
        (POLICY % "{limit: {requests: 1, unit: hour}}", ["refused-form"]),
        ("kind: EnvoyGateway\nrateLimit: {timeout: 10ms}", ["failure-mode"]),
        ("kind: EnvoyGateway\nrateLimit: {failClosed: true}", []),
    ],
)
def test_envoy_gateway(text: str, rules: list[str]) -> None:
    """Its policies, and its own configuration."""
    assert [each.rule for each in together_findings([MeshFile("g.yaml", text.encode())], None)] == rules
