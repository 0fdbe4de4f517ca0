import pytest

from tests.lint.meshes import FILTER, SERVICE, found_in, shipped

PRINCIPAL = "from: [{source: {principals: [%s]}}]"
CATALOG = "cluster.local/ns/istioinaction/sa/catalog"
METHOD = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
ABOUT = {"network-policy", "authorization-policy", "caller-account", "sidecar-egress"}
DEPLOYMENT = """
kind: Deployment
metadata: {name: catalog, namespace: istioinaction}
spec: {template: {metadata: {labels: {app: catalog, role: web}}, spec: {serviceAccountName: catalog}}}
"""


def rules(extra: str, *, without: str = "", known: bool = False) -> list[str]:
    """The rules about policies, for the shipped service without its NetworkPolicy, and a resource more."""
    service = shipped(SERVICE)
    service = service[: service.index("---\napiVersion: networking.k8s.io/v1")]
    files = {FILTER: shipped(FILTER).replace(without or "\0", ""), SERVICE: service, "extra.yaml": extra}
    if known:
        files["catalog.yaml"] = DEPLOYMENT
    return [each.rule for each in found_in(files) if each.rule in ABOUT]


def network(ingress: str, selector: str = "app: ratelimit", types: str = "[Ingress]") -> str:
    """A NetworkPolicy."""
    spec = f"{{podSelector: {{matchLabels: {{{selector}}}}}, policyTypes: {types}, ingress: [{ingress}]}}"
    return f"kind: NetworkPolicy\nmetadata: {{namespace: istioinaction}}\nspec: {spec}"


def authorization(rule: str, action: str = "ALLOW", namespace: str = "istioinaction") -> str:
    """An AuthorizationPolicy for the service."""
    spec = f"{{selector: {{matchLabels: {{app: ratelimit}}}}, action: {action}, rules: [{rule}]}}"
    return f"kind: AuthorizationPolicy\nmetadata: {{namespace: {namespace}}}\nspec: {spec}"


@pytest.mark.parametrize(
    ("policy", "lets_in"),
    [
        (network(""), False),
        (network("", types="[Egress]"), True),
        (network("", types="[]"), False),
        (network("", selector="app: other"), True),
        (network("{}"), True),
        (network("{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}"), True),
        (network("{from: [{podSelector: {matchLabels: {app: catalog}}}], ports: [{port: 8081}]}"), True),
        (network("{from: [{podSelector: {matchLabels: {app: catalog, role: x}}}]}"), True),
        (network("{from: [{podSelector: {matchLabels: {app: orders}}}]}"), False),
        (network("{from: [{podSelector: {}}], ports: [{port: 8000, endPort: 9000}]}"), True),
        (network("{from: [{podSelector: {}}], ports: [{port: 9000, endPort: 9001}]}"), False),
        (network("{from: [{podSelector: {}}], ports: [{port: grpc}, {protocol: TCP}]}"), True),
        (network("{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: istioinaction}}}]}"), True),
        (network("{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}}]}"), False),
        (network("{from: [{namespaceSelector: {matchLabels: {team: other}}}]}"), True),
        (network("{from: [{namespaceSelector: {matchLabels: {team: other}}}]}")
         + "\n---\nkind: Namespace\nmetadata: {name: istioinaction, labels: {team: ours}}", False),
    ],
)  # fmt: skip
def test_network_policies(policy: str, lets_in: bool) -> None:
    """By labels, namespace and port; what the files do not tell is not held against it."""
    assert rules(policy) == ([] if lets_in else ["network-policy"])


def test_labels_that_are_known_decide() -> None:
    """Where the caller's Deployment is among the files."""
    policy = network("{from: [{podSelector: {matchLabels: {role: %s}}}]}")
    assert rules(policy % "web", known=True) == []
    assert rules(policy % "job", known=True) == ["network-policy"]


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("{}", []),
        ("", ["authorization-policy"]),
        (f"{{{PRINCIPAL % CATALOG}}}", []),
        (f"{{{PRINCIPAL % CATALOG.replace('/sa/catalog', '/sa/default')}}}", []),
        (f"{{{PRINCIPAL % CATALOG.replace('/sa/catalog', '/sa/orders')}}}", ["caller-account"]),
        (f"{{{PRINCIPAL % CATALOG.replace('istioinaction', 'other')}}}", ["authorization-policy"]),
        (f"{{{PRINCIPAL % repr('*')}}}", []),
        ("{from: [{source: {namespaces: [other]}}]}", ["authorization-policy"]),
        ("{from: [{source: {namespaces: [istio*]}}]}", []),
        ("{to: [{operation: {ports: ['8080']}}]}", ["authorization-policy"]),
        (f"{{to: [{{operation: {{ports: ['8081'], paths: [{METHOD}], methods: [POST]}}}}]}}", []),
        ("{to: [{operation: {paths: ['/envoy.*', '*Limit']}}]}", []),
        ("{to: [{operation: {methods: [GET]}}]}", ["authorization-policy"]),
    ],
)
def test_what_is_allowed(rule: str, found: list[str]) -> None:
    """By account, namespace, port, path and method."""
    assert rules(authorization(rule)) == found
    assert rules(authorization(rule, namespace="istio-system")) == found
    assert rules(authorization(rule, namespace="elsewhere")) == []


def test_an_account_that_is_known_decides() -> None:
    """Where the caller's Deployment is among the files."""
    assert rules(authorization(f"{{{PRINCIPAL % CATALOG}}}"), known=True) == []
    other = CATALOG.replace("/sa/catalog", "/sa/orders")
    assert rules(authorization(f"{{{PRINCIPAL % other}}}"), known=True) == ["authorization-policy"]
    assert rules(authorization(f"{{{PRINCIPAL % repr('*/ns/istioinaction/sa/catalog')}}}"), known=True) == []
    assert rules(authorization(f"{{{PRINCIPAL % repr('*/ns/istioinaction/sa/orders')}}}"), known=True) == [
        "authorization-policy"
    ]


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("{to: [{operation: {ports: ['8081']}}]}", ["authorization-policy"]),
        ("{to: [{operation: {ports: ['9090']}}]}", []),
        (f"{{{PRINCIPAL % CATALOG}}}", []),
        ("{from: [{source: {notNamespaces: [istioinaction]}}]}", []),
        ("{to: [{operation: {ports: ['8081']}}], when: [{key: a}]}", []),
    ],
)
def test_what_is_denied(rule: str, found: list[str]) -> None:
    """Only what is certain: a rule about an account that the files do not tell is none."""
    assert rules(authorization(rule, "DENY")) == found


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        ("['./*']", []),
        ("['*/*']", []),
        ("['istioinaction/ratelimit.istioinaction.svc.cluster.local']", []),
        ("['istio-system/*']", ["sidecar-egress"]),
        ("['./other.istioinaction.svc.cluster.local']", ["sidecar-egress"]),
        ("[]", []),
    ],
)
def test_what_a_sidecar_imports(hosts: str, found: list[str]) -> None:
    """Of the caller's namespace."""
    text = f"kind: Sidecar\nmetadata: {{namespace: istioinaction}}\nspec: {{egress: [{{hosts: {hosts}}}]}}"
    assert rules(text) == found


def test_a_caller_that_is_nobody_in_particular() -> None:
    """A filter for every proxy is held against no policy."""
    assert rules(network(""), without="  workloadSelector:\n    labels: {app: catalog}\n") == []
