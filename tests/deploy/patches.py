"""What istiod does with an EnvoyFilter, for the patches that we ship: inserting HTTP filters, merging virtual hosts."""

import copy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
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


def apply(bootstrap: dict[str, Any], *names: str) -> dict[str, Any]:
    """Apply the EnvoyFilters of these files below deploy/istio. Raises AssertionError for a patch that hits nothing."""
    result = copy.deepcopy(bootstrap)
    for name in names:
        for patch in yaml.safe_load((ISTIO / name).read_text())["spec"]["configPatches"]:
            {"HTTP_FILTER": _insert, "VIRTUAL_HOST": _merge}[patch["applyTo"]](connection_manager(result), patch)
    return result


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
