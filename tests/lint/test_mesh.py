import pytest

from ratelimit.lint.envoy import read_envoy
from ratelimit.lint.mesh import Mesh, pod_labels, ports_of, selector_of
from ratelimit.lint.resources import MeshFile, read_resources
from tests.lint.meshes import FILTER, SERVICE, shipped

MESH = Mesh(read_resources([MeshFile(name, shipped(name).encode()) for name in (FILTER, SERVICE)], []))


def test_the_service_that_a_filter_asks() -> None:
    """By the name of its cluster, with its port, and the pods' port that it leads to."""
    (filter_,) = read_envoy(MESH.resources).filters
    target = MESH.target_of(filter_)
    assert target is not None
    assert (target.service.name, target.port) == ("ratelimit", 8081)
    assert MESH.target_ports(target.service, 8081) == {8081}
    assert MESH.target_ports(target.service) == {8081, 9090}
    assert ports_of(target.service) == {8081, 9090}


def test_pods_by_their_labels() -> None:
    """What else they have, whether all of it is known, and the account that they run under."""
    (pods,) = MESH.pods("istioinaction", {"app": "ratelimit"})
    assert pod_labels(pods) == {"app": "ratelimit"}
    assert MESH.known_labels("istioinaction", {"app": "ratelimit"}) == ({"app": "ratelimit"}, True)
    assert MESH.known_labels("istioinaction", {"app": "catalog"}) == ({"app": "catalog"}, False)
    assert MESH.account_of("istioinaction", {"app": "ratelimit"}) == "ratelimit"
    assert MESH.account_of("istioinaction", {"app": "catalog"}) == ""
    (service,) = MESH.services_of("istioinaction", {"app": "ratelimit"})
    assert selector_of(service) == {"app": "ratelimit"}


@pytest.mark.parametrize(
    ("port", "ports"),
    [("{port: 80}", {80}), ("{port: 80, targetPort: 3000}", {3000}), ("{port: 80, targetPort: x}", set())],
)
def test_where_a_service_leads(port: str, ports: set[int]) -> None:
    """Its own port unless another is given; a name only where the files have the pods."""
    text = f"kind: Service\nspec: {{selector: {{a: b}}, ports: [{port}]}}"
    mesh = Mesh(read_resources([MeshFile("s.yaml", text.encode())], []))
    assert mesh.target_ports(mesh.resources[0]) == ports


@pytest.mark.parametrize("cluster", ["ratelimit", "outbound|8081||other.istioinaction.svc.cluster.local"])
def test_a_cluster_that_is_no_service_of_the_files(cluster: str) -> None:
    """Nothing is known of it."""
    text = shipped(FILTER).replace("outbound|8081||ratelimit.istioinaction.svc.cluster.local", cluster)
    resources = read_resources([MeshFile("f.yaml", text.encode())], [])
    assert MESH.target_of(read_envoy(resources).filters[0]) is None
