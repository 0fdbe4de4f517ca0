"""Resources of Kubernetes as values that can be compared and validated, whatever wrote them."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from ratelimit.settings import load_settings

Resource = dict[str, Any]
# What no schema of Kubernetes' own knows, by group.
CUSTOM = {
    "monitoring.coreos.com": {"ServiceMonitor", "PrometheusRule"},
    "networking.istio.io": {"EnvoyFilter", "DestinationRule", "Gateway"},
    "security.istio.io": {"AuthorizationPolicy", "PeerAuthentication"},
}
# How the variables end that name files, which are in the pod only.
FILES = ("_CACERT", "_CLIENT_CERT", "_CLIENT_KEY")


def read(text: str) -> list[Resource]:
    """The resources of a text; empty documents are none."""
    return [resource for resource in yaml.safe_load_all(text) if resource]


def in_folder(folder: Path) -> list[Resource]:
    """Every resource of the files in a folder."""
    return [resource for file in sorted(folder.glob("*.yaml")) for resource in read(file.read_text())]


def by_name(resources: Iterable[Resource]) -> dict[tuple[str, str], Resource]:
    """By kind and name, with variables in the order of their names. Raises AssertionError where two have one name."""
    found = dict[tuple[str, str], Resource]()
    for resource in resources:
        key = resource["kind"], resource["metadata"]["name"]
        assert key not in found, key
        found[key] = copy.deepcopy(resource)
        for container in containers(found[key]):
            container.get("env", []).sort(key=lambda variable: variable["name"])
    return found


def containers(resource: Resource) -> Iterator[dict[str, Any]]:
    """Those of a Deployment."""
    if resource["kind"] == "Deployment":
        yield from resource["spec"]["template"]["spec"]["containers"]


def environment(resource: Resource) -> Mapping[str, str]:
    """The variables of a Deployment's first container, those from elsewhere left out."""
    (container, *_) = containers(resource)
    names = [variable["name"] for variable in container["env"]]
    assert len(set(names)) == len(names)
    return {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}


def validate(resources: Iterable[Resource]) -> None:
    """Strictly, against the schemas of Kubernetes 1.34; of custom ones group and kind. Raises ValidationError."""
    for resource in resources:
        group = resource["apiVersion"].partition("/")[0]
        if group in CUSTOM:
            assert resource["kind"] in CUSTOM[group]
            assert resource["spec"]
        else:
            kubernetes_validate.validate(resource, "1.34", strict=True)


def are_sound(resources: list[Resource]) -> None:
    """Valid; names fit together, pods are restricted, and the service takes its variables. Raises AssertionError."""
    validate(resources)
    names_fit(resources)
    assert all(is_restricted(resource) for resource in resources if resource["kind"] == "Deployment")
    given = environment(by_name(resources)["Deployment", "ratelimit"])
    load_settings({key: value for key, value in given.items() if not key.endswith(FILES)})


def names_fit(resources: Iterable[Resource]) -> None:
    """Selectors, target ports, accounts, mounts and scaled Deployments name what is there. Raises AssertionError."""
    found = by_name(resources)
    pods = [each["spec"]["template"] for (kind, _), each in found.items() if kind == "Deployment"]
    for (kind, name), resource in found.items():
        spec = resource.get("spec", {})
        if kind == "Service":
            (pod,) = [pod for pod in pods if spec["selector"].items() <= pod["metadata"]["labels"].items()]
            ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
            assert {port["targetPort"] for port in spec["ports"]} <= ports
        elif kind == "Deployment":
            pod = spec["template"]["spec"]
            assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
            assert pod.get("serviceAccountName", "default") in {
                "default",
                *(n for k, n in found if k == "ServiceAccount"),
            }
            mounts = {mount["name"] for each in pod["containers"] for mount in each.get("volumeMounts", [])}
            assert mounts == {volume["name"] for volume in pod.get("volumes", [])}
        elif kind == "HorizontalPodAutoscaler":
            assert "replicas" not in found["Deployment", spec["scaleTargetRef"]["name"]]["spec"]
        elif kind in {"NetworkPolicy", "PodDisruptionBudget"}:
            labels = (spec.get("podSelector") or spec["selector"])["matchLabels"]
            assert [pod for pod in pods if labels.items() <= pod["metadata"]["labels"].items()], name


def is_restricted(resource: Resource) -> bool:
    """Whether a Deployment fits the Pod Security Standard `restricted`."""
    pod = resource["spec"]["template"]["spec"]
    return all(
        (
            pod["securityContext"]["runAsNonRoot"] is True,
            pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"},
            not pod["automountServiceAccountToken"],
            *(
                each["securityContext"]
                == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
                for each in containers(resource)
            ),
        )
    )
