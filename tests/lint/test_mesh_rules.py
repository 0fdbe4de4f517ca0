import pytest

from tests.lint.meshes import ACTIONS, BOOTSTRAP, CATALOG_SERVICE, FILTER, found_in, shipped

ABOUT = {
    "wrong-virtual-host",
    "host-by-name",
    "shared-virtual-host",
    "double-filter",
    "filter-order",
    "unknown-cluster",
}
PORT = "routeConfiguration: {portNumber: 3000}"


def rules(files: dict[str, str]) -> list[str]:
    """The rules about where patches land."""
    return [each.rule for each in found_in(files) if each.rule in ABOUT]


@pytest.mark.parametrize(
    ("match", "service", "alone"),
    [
        (PORT, [], []),
        ("routeConfiguration: {portNumber: 80}", ["wrong-virtual-host"], []),
        ("routeConfiguration: {name: 'inbound|3000||'}", [], []),
        ("routeConfiguration: {name: 'inbound|80||'}", ["wrong-virtual-host"], []),
        ("routeConfiguration: {vhost: {name: 'inbound|http|80'}}", [], ["host-by-name"]),
        ("routeConfiguration: {vhost: {name: 'inbound|http|8080'}}", ["wrong-virtual-host"], ["host-by-name"]),
        ("routeConfiguration: {vhost: {route: {action: ANY}}}", [], []),
    ],
)
def test_inbound_routes(match: str, service: list[str], alone: list[str]) -> None:
    """With the Service, and with nothing that tells its ports."""
    text = shipped(ACTIONS).replace(PORT, match)
    assert rules({ACTIONS: text, "service.yaml": CATALOG_SERVICE}) == service
    assert rules({ACTIONS: text}) == alone


def test_a_listener_has_the_port_of_the_pod() -> None:
    """Not that of the Service."""
    text = shipped(FILTER).replace("portNumber: 3000", "portNumber: 80")
    assert rules({FILTER: text, "service.yaml": CATALOG_SERVICE}) == ["wrong-virtual-host"]


VIRTUAL_SERVICE = "kind: VirtualService\nmetadata: {name: shop}\nspec: {hosts: [%s], http: [{name: main}]}"
PATCH = """
kind: EnvoyFilter
spec:
  configPatches:
  - {applyTo: %s, match: {context: %s, routeConfiguration: {vhost: {%s}}}, patch: {operation: MERGE}}
"""


@pytest.mark.parametrize(
    ("kind", "context", "vhost", "found"),
    [
        ("VIRTUAL_HOST", "GATEWAY", "name: 'a.example:80'", ["shared-virtual-host"]),
        ("VIRTUAL_HOST", "GATEWAY", "domainName: b.example", ["shared-virtual-host"]),
        ("VIRTUAL_HOST", "GATEWAY", "name: 'c.example:80'", ["wrong-virtual-host"]),
        ("VIRTUAL_HOST", "SIDECAR_OUTBOUND", "name: 'c.example:80'", []),
        ("VIRTUAL_HOST", "SIDECAR_INBOUND", "name: 'c.example:80'", []),
        ("HTTP_ROUTE", "GATEWAY", "route: {name: main}", []),
        ("HTTP_ROUTE", "GATEWAY", "route: {name: other}", ["wrong-virtual-host"]),
    ],
)
def test_virtual_hosts_of_a_gateway(kind: str, context: str, vhost: str, found: list[str]) -> None:
    """Those of VirtualServices: one with two hosts is one virtual host."""
    service = VIRTUAL_SERVICE % "a.example, b.example"
    assert rules({"p.yaml": PATCH % (kind, context, vhost), "v.yaml": service}) == found
    assert rules({"p.yaml": PATCH % (kind, context, vhost)}) == []


def test_one_host_is_not_shared() -> None:
    """A match for it limits nobody else."""
    patch = PATCH % ("VIRTUAL_HOST", "GATEWAY", "name: 'a.example:80'")
    assert rules({"p.yaml": patch, "v.yaml": VIRTUAL_SERVICE % "a.example"}) == []


@pytest.mark.parametrize(
    ("old", "new", "twice"),
    [
        ("name: catalog-ratelimit-filter", "name: other", True),
        ("namespace: istioinaction", "namespace: istio-system", True),
        ("namespace: istioinaction", "namespace: other", False),
        ("domain: catalog-ratelimit", "domain: other", False),
        ("failure_mode_deny: true", "failure_mode_deny: true\n            stage: 1", False),
        ("portNumber: 3000", "portNumber: 3001", False),
        ("labels: {app: catalog}", "labels: {app: catalog, version: v1}", True),
        ("labels: {app: catalog}", "labels: {version: v1}", False),
        ("operation: INSERT_BEFORE", "operation: MERGE", False),
    ],
)
def test_the_filter_twice(old: str, new: str, twice: bool) -> None:
    """For the same proxies, port, domain and stage."""
    found = rules({"a.yaml": shipped(FILTER), "b.yaml": shipped(FILTER).replace(old, new)})
    assert ("double-filter" in found) is twice


def test_the_filters_of_a_bootstrap() -> None:
    """Twice, or behind the router; a cluster that is not there, unless a control plane may bring it."""
    text = shipped(BOOTSTRAP)
    begin, router = (
        text.index("                  - name: envoy.filters.http.ratelimit"),
        text.index("                  - name: envoy.filters.http.router"),
    )
    end = text.index("  clusters:\n")
    limiting, routing = text[begin:router], text[router:end]
    assert rules({BOOTSTRAP: text[:begin] + limiting + limiting + routing + text[end:]}) == ["double-filter"]
    assert rules({BOOTSTRAP: text[:begin] + routing + limiting + text[end:]}) == ["filter-order"]
    missing = text.replace("cluster_name: ratelimit,", "cluster_name: nobody,", 1)
    assert rules({BOOTSTRAP: missing}) == ["unknown-cluster"]
    assert rules({BOOTSTRAP: missing + "dynamic_resources: {cds_config: {ads: {}}}\n"}) == []
