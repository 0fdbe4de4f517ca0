"""What istiod does with an EnvoyFilter, for the patches that we ship: inserting HTTP filters, merging virtual hosts."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy.demo.processes import LOOPBACK, ROOT

ISTIO = ROOT / "deploy" / "istio"
MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def sidecar() -> dict[str, Any]:
    """A bootstrap whose first listener is what istiod makes for the catalog: target port 3000, Service port 80."""
    bootstrap: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "envoy" / "bootstrap.yaml").read_text())
    manager = connection_manager(bootstrap)
    del manager["http_filters"][0]
    manager["route_config"]["name"] = "inbound|3000||"
    host = manager["route_config"]["virtual_hosts"][0]
    host["name"] = "inbound|http|80"
    del host["rate_limits"]
    bootstrap["static_resources"]["clusters"][1]["name"] = "outbound|8081||ratelimit.istioinaction.svc.cluster.local"
    return bootstrap


def connection_manager(bootstrap: dict[str, Any]) -> dict[str, Any]:
    """The HTTP connection manager of the first listener."""
    found: dict[str, Any] = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0][
        "typed_config"
    ]
    assert found["@type"] == MANAGER
    return found


def apply(bootstrap: dict[str, Any], *names: str, folder: Path = ISTIO) -> dict[str, Any]:
    """Apply the EnvoyFilters of these files below a folder, of lower priority first, as istiod does.

    Raises AssertionError for a patch that hits nothing.
    """
    result = copy.deepcopy(bootstrap)
    resources = [each for name in names for each in yaml.safe_load_all((folder / name).read_text())]
    filters = [each for each in resources if each["kind"] == "EnvoyFilter"]
    for each in sorted(filters, key=lambda found: found["spec"].get("priority", 0)):
        for patch in each["spec"]["configPatches"]:
            {"HTTP_FILTER": _insert, "VIRTUAL_HOST": _merge}[patch["applyTo"]](connection_manager(result), patch)
    return result


def patient(bootstrap: dict[str, Any]) -> dict[str, Any]:
    """The same with ten seconds for each call of the rate limit filter: a test tells counts, not how busy we are."""
    result = copy.deepcopy(bootstrap)
    for found in connection_manager(result)["http_filters"]:
        if found["name"] == "envoy.filters.http.ratelimit":
            config = found["typed_config"]
            config["timeout"] = "10s"
            config["rate_limit_service"]["grpc_service"]["retry_policy"]["retry_back_off"]["max_interval"] = "10s"
    return result


def route_to(
    bootstrap: dict[str, Any], name: str, rule: dict[str, Any], priorities: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """Give a cluster what istiod makes of a DestinationRule, and loopback endpoints: the nearest locality's first."""
    policy = rule["spec"]["trafficPolicy"]
    outlier = policy["outlierDetection"]
    result = copy.deepcopy(bootstrap)
    (cluster,) = (each for each in result["static_resources"]["clusters"] if each["name"] == name)
    cluster.pop("health_checks", None)  # Istio has none
    cluster["type"] = "STATIC"
    cluster["common_lb_config"] = {"healthy_panic_threshold": {"value": 0}}
    cluster["circuit_breakers"] = {"thresholds": [{"max_retries": policy["connectionPool"]["http"]["maxRetries"]}]}
    cluster["outlier_detection"] = {
        "consecutive_gateway_failure": outlier["consecutiveGatewayErrors"],
        "enforcing_consecutive_gateway_failure": 100,
        "split_external_local_origin_errors": outlier["splitExternalLocalOriginErrors"],
        "consecutive_local_origin_failure": outlier["consecutiveLocalOriginFailures"],
        "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "interval": outlier["interval"],
        "base_ejection_time": outlier["baseEjectionTime"],
        "max_ejection_percent": outlier["maxEjectionPercent"],
    }
    cluster["load_assignment"]["endpoints"] = [
        {"priority": priority, "lb_endpoints": [{"endpoint": {"address": _address(port)}} for port in ports]}
        for priority, ports in enumerate(priorities)
    ]
    return result


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


def _insert(manager: dict[str, Any], patch: dict[str, Any]) -> None:
    listener = patch["match"].get("listener", {})
    assert patch["patch"]["operation"] == "INSERT_BEFORE"
    assert listener.get("portNumber", 3000) == 3000
    wanted = listener["filterChain"]["filter"]["subFilter"]["name"]
    places = [index for index, found in enumerate(manager["http_filters"]) if found["name"] == wanted]
    manager["http_filters"].insert(places[0], patch["patch"]["value"])


def _merge(manager: dict[str, Any], patch: dict[str, Any]) -> None:
    assert patch["patch"]["operation"] == "MERGE"
    assert patch["match"].get("routeConfiguration", {}).get("portNumber", 3000) == 3000
    for host in manager["route_config"]["virtual_hosts"]:
        for key, value in patch["patch"]["value"].items():
            host[key] = [*host.get(key, []), *value]
