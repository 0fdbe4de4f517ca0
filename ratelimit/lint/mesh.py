"""Services, pods and callers of a mesh, as far as the files tell."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ratelimit.lint.envoy import Filter
from ratelimit.lint.items import Item, number
from ratelimit.lint.resources import Resource, labels_of

_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Rollout")
_CLUSTER = re.compile(r"outbound\|(?P<port>\d+)\|[^|]*\|(?P<name>[^.|]+)\.(?P<namespace>[^.|]+)\.svc(?:\..*)?")


@dataclass(frozen=True, slots=True)
class Target:
    """The rate limit service as a filter's cluster names it: a port of a Service."""

    service: Resource
    port: int
    cluster: Item


@dataclass(frozen=True, slots=True)
class Mesh:
    """All resources, and questions to them."""

    resources: Sequence[Resource]

    def of_kind(self, *kinds: str) -> Iterator[Resource]:
        """The resources of some kinds."""
        return (resource for resource in self.resources if resource.kind in kinds)

    def pods(self, namespace: str, labels: Mapping[str, str]) -> list[Resource]:
        """The workloads whose pods have these labels."""
        return [
            each
            for each in self.of_kind(*_WORKLOADS)
            if each.namespace == namespace and labels.items() <= pod_labels(each).items()
        ]

    def known_labels(self, namespace: str, labels: Mapping[str, str]) -> tuple[Mapping[str, str], bool]:
        """All labels of the pods that have these, and whether the files tell all of them."""
        found = self.pods(namespace, labels) if labels else []
        return (pod_labels(found[0]), True) if found else (labels, False)

    def services_of(self, namespace: str, labels: Mapping[str, str]) -> list[Resource]:
        """The Services that select pods with these labels."""
        known, _ = self.known_labels(namespace, labels)
        return [
            each
            for each in self.of_kind("Service")
            if each.namespace == namespace and selector_of(each) and selector_of(each).items() <= known.items()
        ]

    def target_of(self, each: Filter) -> Target | None:
        """The Service that a filter asks, where the files have it."""
        cluster = each.config.get("rate_limit_service", "grpc_service", "envoy_grpc", "cluster_name")
        named = _CLUSTER.fullmatch(cluster.text)
        if named is None:
            return None
        for service in self.of_kind("Service"):
            if (service.name, service.namespace) == (named["name"], named["namespace"]):
                return Target(service, int(named["port"][:9]), cluster)
        return None

    def target_ports(self, service: Resource, port: int | None = None) -> set[int]:
        """The pods' ports that a Service leads to, all or those of one port; names that lead nowhere are left out."""
        pods = self.pods(service.namespace, selector_of(service))
        names = {
            each.get("name").text: number(each.get("containerPort"))
            for pod in pods
            for container in pod.spec.get("template", "spec", "containers").elements
            for each in container.get("ports").elements
        }
        found = set()
        for each in service.spec.get("ports").elements:
            own = number(each.get("port"))
            target = each.get("targetPort")
            led = number(target) if target.text.isdigit() else names.get(target.text) if target.given else own
            if led is not None and port in {None, own}:
                found.add(led)
        return found

    def account_of(self, namespace: str, labels: Mapping[str, str]) -> str:
        """The service account of the pods with these labels, "" where the files do not tell."""
        found = self.pods(namespace, labels)
        return (found[0].spec.get("template", "spec", "serviceAccountName").text or "default") if found else ""


def pod_labels(workload: Resource) -> Mapping[str, str]:
    """The labels of a workload's pods."""
    return labels_of(workload.spec.get("template", "metadata", "labels"))


def selector_of(service: Resource) -> Mapping[str, str]:
    """What a Service selects pods by."""
    return labels_of(service.spec.get("selector"))


def ports_of(service: Resource) -> set[int]:
    """The ports of a Service itself."""
    return {
        port for port in (number(each.get("port")) for each in service.spec.get("ports").elements) if port is not None
    }
