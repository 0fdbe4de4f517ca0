import asyncio
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from deploy.demo.processes import LOOPBACK, ROOT, config_map, envoy_binary, start_envoy, start_service
from tests.deploy.patches import ISTIO, apply, sidecar
from tests.deploy.resources import by_name, in_folder, is_restricted, names_fit, validate
from tests.integration.scene import Scene, room_in_the_minute

KUBERNETES = ROOT / "deploy" / "kubernetes"
CLUSTER = "outbound|8081||ratelimit.istioinaction.svc.cluster.local"
VARIANTS = [
    ("ratelimit-filter.yaml", "ratelimit-actions.yaml"),
    ("single-resource/ratelimit.yaml",),
    ("gateway/ratelimit.yaml",),
    ("rlqs/gateway.yaml",),
    ("tap/tap.yaml", "lua/group.yaml", "ratelimit-filter.yaml", "ratelimit-actions.yaml"),
]


BUILT_IN = [resource for resource in in_folder(KUBERNETES) if resource["kind"] != "ServiceMonitor"]


@pytest.mark.parametrize(
    "resource", BUILT_IN, ids=lambda resource: f"{resource['kind']}-{resource['metadata']['name']}"
)
def test_kubernetes_files_are_valid(resource: dict[str, Any]) -> None:
    """Strictly, against the schemas of Kubernetes 1.34."""
    validate([resource])


def test_the_config_map_holds_the_catalog() -> None:
    """What is shipped is what the demo and the tests run."""
    maps = [resource for resource in BUILT_IN if resource["kind"] == "ConfigMap"]
    assert maps[0]["data"]["config.yaml"] == (ROOT / "config" / "catalog.yaml").read_text()


def test_names_fit_together() -> None:
    """Ports, labels and accounts that one resource names exist in another."""
    resources = in_folder(KUBERNETES)
    names_fit(resources)
    found = by_name(resources)
    service = found["Service", "ratelimit"]["spec"]
    monitor = found["ServiceMonitor", "ratelimit"]["spec"]
    assert monitor["endpoints"][0]["port"] in {port["name"] for port in service["ports"]}
    assert all(resource["spec"] for resource in in_folder(ISTIO))


def test_pods_are_restricted() -> None:
    """By the Pod Security Standard of that name, with a root file system that nobody writes to."""
    assert all(is_restricted(resource) for resource in BUILT_IN if resource["kind"] == "Deployment")


@pytest.mark.parametrize("names", VARIANTS, ids=lambda names: names[0])
def test_envoy_takes_every_variant_without_a_warning(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Applied as istiod would, the real Envoy validates it, and nothing is deprecated."""
    file = tmp_path / "envoy.yaml"
    file.write_text(yaml.safe_dump(apply(sidecar(), *names)))
    command = [envoy_binary(), "--mode", "validate", "-c", str(file), "--log-level", "warning"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "deprecated" not in ended.stderr.lower()


@pytest.mark.parametrize("names", VARIANTS[:2], ids=lambda names: names[0])
async def test_the_patched_sidecar_limits_everybody(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Each tier has its limit, and a tier that nobody knows shares the one of no loyalty."""
    root = config_map(tmp_path / "runtime", (ROOT / "config" / "catalog.yaml").read_text())
    environ = {
        "RUNTIME_ROOT": str(root),
        "RUNTIME_IGNOREDOTFILES": "true",
        "BACKEND_TYPE": "memory",
        "DRAIN_DELAY": "0",
    }
    instance = await start_service("ratelimit", tmp_path, environ)
    scene = Scene(tmp_path)
    endpoints = {"catalog": [await scene.start_upstream()], CLUSTER: [instance.grpc_port]}
    envoy = await start_envoy(tmp_path, apply(sidecar(), *names), endpoints)
    await room_in_the_minute()
    admitted = {}
    async with aiohttp.ClientSession() as session:
        for loyalty in ("platinum", "GOLD", "", "bronze", "silver", "gold"):
            address, headers = f"http://{LOOPBACK}:{envoy.port}/", {"x-loyalty": loyalty}
            replies = await asyncio.gather(*(session.get(address, headers=headers) for _ in range(12)))
            admitted[loyalty] = sum(reply.status == 200 for reply in replies)
    assert admitted == {"platinum": 1, "GOLD": 0, "": 0, "bronze": 3, "silver": 5, "gold": 10}
    await envoy.program.stop()
    await instance.program.stop()
    await scene.stop()
