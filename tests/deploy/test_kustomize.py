"""The kustomize base and overlays beside the plain manifests."""

import subprocess
from pathlib import Path

import pytest

from deploy import copies
from deploy.demo.processes import ROOT
from tests.deploy.resources import Resource, are_sound, by_name, environment, in_folder, read

KUSTOMIZE = ROOT / "deploy" / "kustomize"
OVERLAYS = sorted(path.name for path in (KUSTOMIZE / "overlays").iterdir())
PLAIN = by_name(in_folder(ROOT / "deploy" / "kubernetes"))
ISTIO = by_name(in_folder(ROOT / "deploy" / "istio"))

pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def built(kustomize: Path) -> dict[str, list[Resource]]:
    """What `kustomize build` makes of the base and of each overlay."""
    folders = {"base": KUSTOMIZE / "base", **{name: KUSTOMIZE / "overlays" / name for name in OVERLAYS}}
    found = {}
    for name, folder in folders.items():
        ended = subprocess.run([kustomize, "build", folder], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        assert "deprecated" not in ended.stderr
        found[name] = read(ended.stdout)
    return found


def test_copies_are_what_is_made() -> None:
    """`make manifests` would change no file, and none is left of what it makes no more."""
    made = copies.copies()
    assert {path: path.read_text() for path in made} == made
    folders = {path.parent for path in made}
    here = {path for folder in folders for path in folder.iterdir() if path.is_file()}
    assert {path.name for path in here - set(made)} == {"kustomization.yaml"}


def test_making_writes_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in its folder, which is made."""
    monkeypatch.setattr(copies, "copies", lambda: {tmp_path / "a" / "b.yaml": "text\n"})
    assert copies.main() == 0
    assert (tmp_path / "a" / "b.yaml").read_text() == "text\n"


def test_the_base_is_the_plain_manifests(built: dict[str, list[Resource]]) -> None:
    """The same resources, field by field."""
    assert by_name(built["base"]) == PLAIN


@pytest.mark.parametrize("name", ["base", *OVERLAYS])
def test_what_is_built_is_valid(built: dict[str, list[Resource]], name: str) -> None:
    """Strictly; names fit together, pods are restricted, and the service takes its variables."""
    are_sound(built[name])
    assert all(resource["metadata"].get("namespace", "istioinaction") == "istioinaction" for resource in built[name])


def test_the_mesh_adds_what_stands_in_istio_and_prometheus(built: dict[str, list[Resource]]) -> None:
    """The base, deploy/istio, the rules and the dashboards, and nothing else."""
    found = by_name(built["catalog-mesh"])
    rule = found.pop(("PrometheusRule", "ratelimit"))
    dashboards = found.pop(("ConfigMap", "ratelimit-dashboards"))
    assert found == {**PLAIN, **ISTIO}
    assert [group["name"] for group in rule["spec"]["groups"]] == [
        "ratelimit",
        "ratelimit-instances",
        "ratelimit-limits",
    ]
    grafana = ROOT / "deploy" / "grafana"
    assert dashboards["data"] == {f"envoy-{file.name}": file.read_text() for file in grafana.glob("*.json")}


def test_a_store_of_others_replaces_ours(built: dict[str, list[Resource]]) -> None:
    """No Redis is left, the password comes from a Secret, TLS is on, and the policy lets us there only."""
    found = by_name(built["external-redis"])
    assert set(PLAIN) - set(found) == {("Deployment", "redis"), ("Service", "redis")}
    assert list(found["ConfigMap", "catalog-ratelimit-config"]["data"]) == ["shop.yaml"]
    settings = environment(found["Deployment", "ratelimit"])
    assert (settings["REDIS_URL"], settings["REDIS_TLS"]) == ("redis.example.com:6380", "true")
    variables = found["Deployment", "ratelimit"]["spec"]["template"]["spec"]["containers"][0]["env"]
    (auth,) = [variable for variable in variables if variable["name"] == "REDIS_AUTH"]
    assert auth["valueFrom"] == {"secretKeyRef": {"name": "redis-auth", "key": "password"}}
    first, *others = found["NetworkPolicy", "ratelimit"]["spec"]["egress"]
    assert first == {"to": [{"ipBlock": {"cidr": "10.20.0.0/16"}}], "ports": [{"port": 6380}]}
    assert others == PLAIN["NetworkPolicy", "ratelimit"]["spec"]["egress"][1:]


def test_a_large_one_has_workers_cores_and_pods(built: dict[str, list[Resource]]) -> None:
    """As many cores as workers, more pods, and the image of one's own registry."""
    found = by_name(built["large"])
    (container,) = found["Deployment", "ratelimit"]["spec"]["template"]["spec"]["containers"]
    assert environment(found["Deployment", "ratelimit"])["WORKERS"] == container["resources"]["requests"]["cpu"] == "2"
    assert container["image"] == "registry.example.com/envoy-ratelimit:0.1.0"
    scaler = found["HorizontalPodAutoscaler", "ratelimit"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (4, 20)
