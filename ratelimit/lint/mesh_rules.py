"""Where patches of EnvoyFilters land: the right virtual host and port, once, before the router, for some proxies."""

import re
from collections.abc import Iterator, Sequence

from ratelimit.lint.envoy import ROOT_NAMESPACE, Envoy, Patch, Scope, unwrapped
from ratelimit.lint.finding import Finding, at, listed, quoted
from ratelimit.lint.items import Item, number
from ratelimit.lint.mesh import Mesh, Target, ports_of
from ratelimit.lint.resources import Resource

_ROUTER = "envoy.filters.http.router"
_RATE_LIMIT = ".filters.http.ratelimit.v3.RateLimit"
_INSERTS = ("INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "ADD")
_INBOUND_HOST = re.compile(r"inbound\|http\|(\d{1,9})")
_INBOUND_ROUTES = re.compile(r"inbound\|(\d{1,9})\|.*")
_GRPC_PORTS = ("grpc", "http2", "h2c", "kubernetes.io/h2c")


def mesh_findings(envoy: Envoy, mesh: Mesh) -> Iterator[Finding]:
    """What lands elsewhere than was meant, or nowhere."""
    for patch in envoy.patches:
        if patch.applies_to in {"VIRTUAL_HOST", "HTTP_ROUTE", "ROUTE_CONFIGURATION"}:
            yield from _inbound(patch, envoy, mesh)
            yield from _gateway(patch, mesh)
        port = patch.match.get("listener", "portNumber")
        yield from _target_port(patch, port, mesh)
    inserts = [patch for patch in envoy.patches if _inserts_filter(patch)]
    for index, patch in enumerate(inserts):
        yield from _insert(patch)
        yield from _twice(patch, inserts[:index])
    for document in envoy.documents:
        for item in document.within():
            yield from _chain(item.get("http_filters").elements)
    yield from _clusters(envoy, mesh)


def _inserts_filter(patch: Patch) -> bool:
    named = unwrapped(patch.value.get("typed_config"))[1]
    return patch.applies_to == "HTTP_FILTER" and patch.operation in _INSERTS and named.endswith(_RATE_LIMIT)


def _inbound(patch: Patch, envoy: Envoy, mesh: Mesh) -> Iterator[Finding]:
    routes = patch.match.get("routeConfiguration")
    name = routes.get("vhost", "name")
    host, whole = _INBOUND_HOST.fullmatch(name.text), _INBOUND_ROUTES.fullmatch(routes.get("name").text)
    listeners = _listener_ports(envoy, patch.scope)
    if host is not None:
        yield from _host_port(patch, name, int(host[1]), mesh, listeners)
    if whole is not None:
        yield from _target_port(patch, routes.get("name"), mesh, int(whole[1]))
    port = routes.get("portNumber")
    asked = number(port)
    if asked is not None and patch.scope.context == "SIDECAR_INBOUND":
        found = list(_target_port(patch, port, mesh))
        yield from found
        if not found and listeners and asked not in listeners and not _services(patch, mesh):
            said = f"port {asked}, but the filter is put on port {', '.join(map(str, sorted(listeners)))}"
            yield Finding(
                "wrong-virtual-host", port.place, said, "both are the pod's port, the targetPort of the Service"
            )


def _host_port(patch: Patch, name: Item, port: int, mesh: Mesh, listeners: set[int]) -> Iterator[Finding]:
    """A virtual host by its name, which has the port of the Service and not that of the pod."""
    services = _services(patch, mesh)
    ports = {each for service in services for each in ports_of(service)}
    cure = "match by the pod's port: routeConfiguration: {portNumber: …}"
    if services and port not in ports:
        shown = ", ".join(map(str, sorted(ports)))
        said = f"{quoted(name.text)} matches nothing, so nobody is limited: the name has the Service's port, {shown}"
        yield Finding("wrong-virtual-host", name.place, said, f"write inbound|http|{min(ports, default=80)}, or {cure}")
    elif not services and port in listeners:
        said = (
            f"{quoted(name.text)} has the pod's port, where the name has that of the Service: it matches nothing then"
        )
        yield Finding("wrong-virtual-host", name.place, said, cure)
    elif not services:
        said = f"{quoted(name.text)} matches only if {port} is the Service's port, which these files do not tell"
        yield Finding("host-by-name", name.place, said, cure)


def _target_port(patch: Patch, port: Item, mesh: Mesh, asked: int | None = None) -> Iterator[Finding]:
    """A port that must be one of the pod's, where the files have the Service."""
    asked = number(port) if asked is None else asked
    if asked is None or patch.scope.context != "SIDECAR_INBOUND":
        return
    ports = {each for service in _services(patch, mesh) for each in mesh.target_ports(service)}
    if ports and asked not in ports:
        shown = ", ".join(map(str, sorted(ports)))
        said = f"no inbound listener has port {asked}, so this matches nothing: the pod's ports are {shown}"
        yield Finding("wrong-virtual-host", port.place, said, f"write {min(ports)}")


def _services(patch: Patch, mesh: Mesh) -> Sequence[Resource]:
    labels = dict(patch.scope.labels)
    return mesh.services_of(patch.scope.namespace, labels) if labels else []


def _listener_ports(envoy: Envoy, scope: Scope) -> set[int]:
    """The ports that HTTP filters of the same proxies are put on."""
    ports = (
        number(patch.match.get("listener", "portNumber"))
        for patch in envoy.patches
        if patch.applies_to == "HTTP_FILTER" and patch.scope.meets(scope)
    )
    return {port for port in ports if port is not None}


def _gateway(patch: Patch, mesh: Mesh) -> Iterator[Finding]:
    """Hosts and routes of VirtualServices, which are the virtual hosts of a gateway."""
    services = list(mesh.of_kind("VirtualService"))
    vhost = patch.match.get("routeConfiguration", "vhost")
    if not services or patch.scope.context not in {"GATEWAY", "SIDECAR_OUTBOUND"}:
        return
    for item in (vhost.get("name"), vhost.get("domainName")):
        host = item.text.rpartition(":")[0] or item.text
        found = [each for each in services if host in _hosts(each)]
        if item.given and not found and patch.scope.context == "GATEWAY":
            said = f"no VirtualService of these files has the host {quoted(host)}, so this matches nothing"
            yield Finding("wrong-virtual-host", item.place, said, f"there are {listed(_all_hosts(services))}")
        for each in found:
            others = [other for other in _hosts(each) if other != host]
            if others:
                said = (
                    f"the VirtualService {each.name} ({at(each.item.place)}) is one virtual host: {listed(others)} too"
                )
                yield Finding("shared-virtual-host", item.place, said, "give each host a VirtualService of its own")
    route = vhost.get("route", "name")
    names = [each.get("name").text for service in services for each in service.spec.get("http").elements]
    if route.given and patch.applies_to == "HTTP_ROUTE" and route.text not in names:
        said = f"no route of the VirtualServices in these files has the name {quoted(route.text)}"
        yield Finding("wrong-virtual-host", route.place, said, "name the route there, and here")


def _hosts(service: Resource) -> list[str]:
    return [each.text for each in service.spec.get("hosts").elements]


def _all_hosts(services: Sequence[Resource]) -> list[str]:
    return [host for service in services for host in _hosts(service)]


def _insert(patch: Patch) -> Iterator[Finding]:
    operation = patch.item.get("patch", "operation")
    sub = patch.match.get("listener", "filterChain", "filter").get("subFilter", "name").text
    if patch.operation == "ADD" or (patch.operation == "INSERT_AFTER" and sub in {"", _ROUTER}):
        said = f"{patch.operation} puts the filter behind the router, which must be the last: Envoy refuses that"
        yield Finding("filter-order", operation.place, said, "write INSERT_BEFORE, with the router as subFilter")
    targeted = patch.scope.labels or patch.resource.spec.get("targetRefs").given
    if not targeted and patch.scope.context != "GATEWAY":
        said = "without workloadSelector every proxy gets the filter, that of the rate limit service itself too"
        yield Finding("no-workload-selector", patch.resource.item.place, said, "add workloadSelector: {labels: …}")


def _twice(patch: Patch, earlier: Sequence[Patch]) -> Iterator[Finding]:
    for other in earlier:
        if _surely_meet(patch, other) and _asks(patch) == _asks(other):
            said = f"the filter is there already ({at(other.item.place)}): every request is counted twice"
            yield Finding("double-filter", patch.item.place, said, "keep one of the two")
            return


def _surely_meet(patch: Patch, other: Patch) -> bool:
    one, two = patch.scope, other.scope
    ports = {number(each.match.get("listener", "portNumber")) for each in (patch, other)} - {None}
    subset = one.labels <= two.labels or two.labels <= one.labels
    names = {one.namespace, two.namespace}
    return (
        one.folder == two.folder
        and one.meets(two)
        and subset
        and len(ports) < 2
        and (len(names) == 1 or ROOT_NAMESPACE in names)
    )


def _asks(patch: Patch) -> tuple[str, str]:
    config, _ = unwrapped(patch.value.get("typed_config"))
    return config.get("domain").text, config.get("stage").text or "0"


def _chain(filters: Sequence[Item]) -> Iterator[Finding]:
    """The HTTP filters of one connection manager, in their order."""
    seen: dict[tuple[str, str], Item] = {}
    router = False
    for item in filters:
        config, named = unwrapped(item.get("typed_config"))
        if named.endswith(_RATE_LIMIT):
            asks = config.get("domain").text, config.get("stage").text or "0"
            if asks in seen:
                said = f"the filter is there already ({at(seen[asks].place)}): every request is counted twice"
                yield Finding("double-filter", item.place, said, "keep one of the two")
            seen.setdefault(asks, item)
            if router:
                said = "the filter stands behind the router, which must be the last: Envoy refuses that"
                yield Finding("filter-order", item.place, said, "put it before the router")
        router = router or item.get("name").text == _ROUTER


def _clusters(envoy: Envoy, mesh: Mesh) -> Iterator[Finding]:
    """The cluster that a filter asks: it exists, and speaks HTTP/2."""
    for each in envoy.filters:
        target = mesh.target_of(each)
        if target is not None:
            yield from _service_port(target)
        cluster = each.config.get("rate_limit_service", "grpc_service", "envoy_grpc", "cluster_name")
        names = _static_clusters(envoy) if not each.scope.namespace and each.scope.manager else set()
        if names and cluster.given and cluster.text not in names:
            said = f"no cluster of these files has the name {quoted(cluster.text)}"
            yield Finding("unknown-cluster", cluster.place, said, f"there are {listed(sorted(names))}")


def _static_clusters(envoy: Envoy) -> set[str]:
    """The names of the clusters in bootstraps; none where a control plane may bring more."""
    found = set()
    for document in envoy.documents:
        if document.get("dynamic_resources", "cds_config").given:
            return set()
        found |= {each.get("name").text for each in document.get("static_resources", "clusters").elements}
    return found


def _service_port(target: Target) -> Iterator[Finding]:
    service = target.service
    if target.port not in ports_of(service):
        shown = ", ".join(map(str, sorted(ports_of(service))))
        said = f"the Service {service.name} ({at(service.item.place)}) has no port {target.port}"
        yield Finding("unknown-cluster", target.cluster.place, said, f"there are {shown}")
    for port in service.spec.get("ports").elements:
        protocol, name = port.get("appProtocol").text, port.get("name").text
        if number(port.get("port")) == target.port and not (
            protocol.startswith(_GRPC_PORTS) or (not protocol and name.split("-")[0] in _GRPC_PORTS)
        ):
            said = f"nothing says that port {target.port} speaks HTTP/2, so every call of it fails"
            yield Finding("grpc-port", port.place, said, "name it grpc-…, or write appProtocol: kubernetes.io/h2c")
