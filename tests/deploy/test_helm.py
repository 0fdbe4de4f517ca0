"""The Helm chart: the plain manifests by default, and what its values make of it."""

import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.demo.processes import ROOT, envoy_binary
from tests.deploy.patches import apply, sidecar
from tests.deploy.resources import Resource, are_sound, by_name, environment, in_folder, names_fit, read

CHART = ROOT / "deploy" / "helm" / "ratelimit"
EXAMPLES = {path.stem: path for path in sorted((CHART.parent / "examples").glob("*.yaml"))}
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
PLAIN = by_name(in_folder(ROOT / "deploy" / "kubernetes"))
ISTIO = by_name(in_folder(ROOT / "deploy" / "istio"))
CLUSTER = ("--kube-version", "1.34", "--api-versions", "monitoring.coreos.com/v1")

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Render = Callable[..., list[Resource]]


@pytest.fixture(scope="module")
def template(helm: Path) -> Run:
    """`helm template` of the chart with these options, as release `ratelimit` in the catalog's namespace."""

    def run(*options: str | Path, cluster: Sequence[str] = CLUSTER) -> "subprocess.CompletedProcess[str]":
        command = [helm, "template", "ratelimit", CHART, "--namespace", "istioinaction", *cluster, *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def render(template: Run) -> Render:
    """The resources that it makes. Raises AssertionError with Helm's words."""

    def run(*options: str | Path, cluster: Sequence[str] = CLUSTER) -> list[Resource]:
        ended = template(*options, cluster=cluster)
        assert ended.returncode == 0, ended.stderr
        assert not ended.stderr
        return read(ended.stdout)

    return run


@pytest.mark.tools
def test_helm_finds_no_fault(helm: Path) -> None:
    """Its lint, with warnings as errors."""
    command = [helm, "lint", "--strict", "--kube-version", "1.34", CHART]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.tools
def test_the_defaults_are_the_plain_manifests(render: Render) -> None:
    """The same resources, field by field, but the namespace, which is Helm's (--create-namespace)."""
    wanted = {key: resource for key, resource in PLAIN.items() if key[0] != "Namespace"}
    assert by_name(render()) == wanted


@pytest.mark.tools
def test_with_istio_and_rules_they_are_the_rest_of_deploy(render: Render) -> None:
    """deploy/istio field by field, the rules of deploy/prometheus, the dashboards of deploy/grafana."""
    found = by_name(render(*(f"--set={part}.enabled=true" for part in ("istio", "prometheusRule", "dashboards"))))
    assert {key: found.get(key) for key in ISTIO} == ISTIO
    groups = [
        group
        for file in ("alerts", "recording")
        for group in yaml.safe_load((ROOT / "deploy" / "prometheus" / f"{file}.yaml").read_text())["groups"]
    ]
    assert found["PrometheusRule", "ratelimit"]["spec"]["groups"] == groups
    dashboards = found["ConfigMap", "ratelimit-dashboards"]
    grafana = ROOT / "deploy" / "grafana"
    assert dashboards["data"] == {f"envoy-{file.name}": file.read_text() for file in grafana.glob("*.json")}
    assert dashboards["metadata"]["labels"] == {"grafana_dashboard": "1"}


@pytest.mark.tools
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_valid(render: Render, name: str) -> None:
    """Strictly; names fit together, pods are restricted, and the service takes its variables."""
    found = render("--values", EXAMPLES[name])
    are_sound(found)
    assert {resource["metadata"]["namespace"] for resource in found} == {"istioinaction"}


@pytest.mark.tools
def test_a_store_of_others_replaces_ours(render: Render) -> None:
    """Address, password, authority and the policy's way there; no Redis of the chart."""
    found = by_name(render("--values", EXAMPLES["external-redis"]))
    assert ("Deployment", "redis") not in found
    pod = found["Deployment", "ratelimit"]["spec"]["template"]["spec"]
    variables = {variable["name"]: variable for variable in pod["containers"][0]["env"]}
    assert variables["REDIS_URL"]["value"] == "redis.example.com:6380"
    assert variables["REDIS_AUTH"]["valueFrom"] == {"secretKeyRef": {"name": "redis-auth", "key": "password"}}
    assert variables["REDIS_TLS_CACERT"]["value"] == "/etc/redis-ca/ca.crt"
    assert {"name": "redis-ca", "secret": {"secretName": "redis-ca"}} in pod["volumes"]
    store = found["NetworkPolicy", "ratelimit"]["spec"]["egress"][0]
    assert store == {"to": [{"ipBlock": {"cidr": "10.20.0.0/16"}}], "ports": [{"port": 6380}]}
    assert list(found["ConfigMap", "shop-limits"]["data"]) == ["shop.yaml"]


@pytest.mark.tools
def test_a_large_one_has_what_its_values_say(render: Render) -> None:
    """Numbers reach the variables as they were written, and each part its resource."""
    found = by_name(render("--values", EXAMPLES["large"]))
    given = environment(found["Deployment", "ratelimit"])
    assert (given["LOCAL_CACHE_SIZE_IN_BYTES"], given["NEAR_LIMIT_RATIO"]) == ("10000000", "0.9")
    assert (given["TRACING_ENABLED"], given["WORKERS"], given["REDIS_TYPE"]) == ("true", "2", "CLUSTER")
    assert given["REDIS_TLS_CLIENT_CERT"] == "/etc/redis-client/tls.crt"
    pod = found["Deployment", "ratelimit"]["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["tolerations"] == [{"key": "edge", "operator": "Exists", "effect": "NoSchedule"}]
    assert found["PodDisruptionBudget", "ratelimit"]["spec"]["maxUnavailable"] == "25%"
    assert found["HorizontalPodAutoscaler", "ratelimit"]["spec"]["minReplicas"] == 4
    assert found["PrometheusRule", "ratelimit"]["metadata"]["labels"] == {"release": "prometheus"}


@pytest.mark.tools
def test_the_filter_is_for_the_callers_alone(render: Render) -> None:
    """The values' workload, port, domain, actions and identities, and none of the example's."""
    found = by_name(render("--values", EXAMPLES["mesh"]))
    assert "catalog" not in json.dumps([each for key, each in found.items() if key[0] == "EnvoyFilter"])
    filters = [found["EnvoyFilter", f"shop-ratelimit-{part}"]["spec"] for part in ("filter", "actions")]
    assert all(each["workloadSelector"] == {"labels": {"app.kubernetes.io/name": "shop"}} for each in filters)
    first, second = (each["configPatches"][0] for each in filters)
    config = first["patch"]["value"]["typed_config"]
    assert (config["domain"], config["timeout"], config["failure_mode_deny"]) == ("shop", "0.1s", False)
    assert second["patch"]["value"]["rate_limits"] == [{"actions": [{"remote_address": {}}]}]
    assert first["match"]["listener"]["portNumber"] == second["match"]["routeConfiguration"]["portNumber"] == 8080
    rules = found["AuthorizationPolicy", "ratelimit"]["spec"]["rules"]
    assert rules[0]["from"] == [{"source": {"principals": ["cluster.local/ns/shop/sa/shop"]}}]


@pytest.mark.tools
def test_envoy_takes_a_filter_of_other_values(render: Render, tmp_path: Path) -> None:
    """Applied as istiod would, without a warning of something deprecated."""
    found = by_name(render("--values", EXAMPLES["mesh"], "--set=istio.port=3000"))
    names = []
    for part in ("filter", "actions"):
        names.append(str(tmp_path / f"{part}.yaml"))
        Path(names[-1]).write_text(yaml.safe_dump(found["EnvoyFilter", f"shop-ratelimit-{part}"]))
    file = tmp_path / "envoy.yaml"
    file.write_text(yaml.safe_dump(apply(sidecar(), *names)))
    command = [envoy_binary(), "--mode", "validate", "-c", file, "--log-level", "warning"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "deprecated" not in ended.stderr.lower()


@pytest.mark.tools
def test_one_pod_has_nothing_around_it(render: Render) -> None:
    """Three resources, one replica, and no word of a Redis."""
    found = by_name(render("--values", EXAMPLES["minimal"]))
    assert {kind for kind, _ in found} == {"ConfigMap", "Deployment", "Service"}
    assert found["Deployment", "ratelimit"]["spec"]["replicas"] == 1
    assert not [name for name in environment(found["Deployment", "ratelimit"]) if "REDIS" in name]


@pytest.mark.tools
def test_other_names_and_labels_reach_everything(render: Render) -> None:
    """Two releases in a namespace do not meet, and no ServiceMonitor is made where nobody knows it."""
    options = (
        "--set=fullnameOverride=edge,commonLabels.team=traffic,config.existingConfigMap=ours",
        "--set-string=image.tag=2",
    )
    found = by_name(render(*options, cluster=CLUSTER[:2]))
    names_fit(found.values())
    assert {name for _, name in found} == {"edge", "redis"}
    assert all(each["metadata"]["labels"]["team"] == "traffic" for each in found.values())
    pod = found["Deployment", "edge"]["spec"]["template"]["spec"]
    assert pod["volumes"] == [{"name": "config", "configMap": {"name": "ours"}}]
    assert pod["containers"][0]["image"] == "envoy-ratelimit:2"
    assert "ServiceMonitor" not in {kind for kind, _ in found}


REFUSED = {
    "a name that is no value": ("replica=3", "replica"),
    "a name that is no value, deeper": ("redis.server=x", "redis"),
    "a word for a number": ("replicas=many", "/replicas"),
    "no workers": ("workers=0", "/workers"),
    "a variable that has a value of its own": ("env.REDIS_URL=x:1", "REDIS_URL"),
    "a topology that Redis has not": ("redis.type=RING", "/redis/type"),
    "a Cluster without nodes": ("redis.type=CLUSTER", "/redis/url"),
    "no store at all": ("redis.embedded.enabled=false", "/redis/url"),
    "a timeout without a unit": ("redis.timeout=100", "/redis/timeout"),
    "memcached without servers": ("backend=memcache", "/env"),
    "memory that several pods would have": ("backend=memory", "/autoscaling/enabled"),
    "fewer pods at most than at least": ("autoscaling.maxReplicas=1", "minReplicas"),
    "an image with its tag": ("image.repository=envoy-ratelimit:1", "/image/repository"),
    "a filter's timeout that Envoy does not read": ("istio.timeout=250ms", "/istio/timeout"),
    "nobody who may ask": ("istio.principals=null,istio.principals={}", "/istio/principals"),
    "a policy that lets no pod go": ("podDisruptionBudget.maxUnavailable=0", "maxUnavailable"),
    "a file that the service does not read": (r"config.files.notes\.txt=x", "notes.txt"),
}


@pytest.mark.tools
@pytest.mark.parametrize("fault", REFUSED)
def test_wrong_values_are_refused(template: Run, fault: str) -> None:
    """Before anything is installed, and it is told which."""
    values, place = REFUSED[fault]
    ended = template("--set", values)
    assert ended.returncode != 0
    assert place in ended.stderr


def properties(schema: dict[str, Any], place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property of a schema with its dotted place, at any depth."""
    for name, each in schema.get("properties", {}).items():
        yield f"{place}{name}", each
        yield from properties(each, f"{place}{name}.")


def test_every_value_is_in_the_schema_and_in_the_values() -> None:
    """With a description there, and a comment above its block in values.yaml."""
    text = (CHART / "values.yaml").read_text()
    for name in VALUES:
        assert re.search(rf"^#.*\n{name}:", text, re.MULTILINE), name
    for place, schema in properties(SCHEMA):
        assert schema["description"].endswith("."), place
        at: Any = VALUES
        for part in place.split("."):
            if place != "global" and place.count("resources.") == 0:
                at = at[part]
    objects = [("", SCHEMA), *properties(SCHEMA)]
    assert all(each["additionalProperties"] is False for _, each in objects if "properties" in each)


def test_the_chart_has_the_version_of_the_service() -> None:
    """A chart without a tag must find the image that was released with it."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert chart["version"] == chart["appVersion"] == version
