"""The folders of two clusters: valid, made from one source, and fitting together, within a cluster and across."""

import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.demo.processes import ROOT
from deploy.multicluster.folders import WEIGHTS, divided, files, write
from tests.deploy.resources import by_name, validate

HERE = ROOT / "deploy" / "multicluster"
CLUSTERS = ("cluster1", "cluster2")
VARIANTS = [(cluster, variant) for cluster in CLUSTERS for variant in ("", "split")]
MAKE_CAS = HERE / "ca" / "make-cas.sh"
CALLER = "spiffe://cluster.local/ns/istioinaction/sa/catalog"


def resources(cluster: str, variant: str = "") -> list[dict[str, Any]]:
    """What is applied to a cluster: a variant's file stands in for the one of the same name."""
    chosen = {file.name: file for file in sorted((HERE / cluster).glob("*.yaml"))}
    if variant:
        chosen |= {file.name: file for file in sorted((HERE / cluster / variant).glob("*.yaml"))}
    return [each for file in chosen.values() for each in yaml.safe_load_all(file.read_text())]


@pytest.mark.parametrize(("cluster", "variant"), VARIANTS)
def test_kubernetes_resources_are_valid(cluster: str, variant: str) -> None:
    """Strictly, against the schemas of Kubernetes 1.34; tests/deploy/test_istio_schemas.py does so for Istio's."""
    validate(resources(cluster, variant))


def test_files_are_as_they_are_made(tmp_path: Path) -> None:
    """`python -m deploy.multicluster` changes nothing, and writes only what differs."""
    made = files()
    assert {name: (HERE / name).read_text() for name in made} == made
    assert write(made) == []
    assert write(made, tmp_path) == list(made)
    assert write(made, tmp_path) == []


def test_clusters_differ_in_their_names_alone() -> None:
    """And in where the store's pods are, and in the shares."""
    names = [{str(file.relative_to(HERE / each)) for file in (HERE / each).rglob("*.yaml")} for each in CLUSTERS]
    assert names[0] == names[1]
    for name in names[0] - {"store.yaml", "split/configmap.yaml"}:
        first, second = ((HERE / each / name).read_text() for each in CLUSTERS)
        expected = first.replace("cluster1", "cluster2").replace("network1", "network2")
        assert list(yaml.safe_load_all(second)) == list(yaml.safe_load_all(expected)), name


@pytest.mark.parametrize(("cluster", "variant"), VARIANTS)
def test_names_fit_together(cluster: str, variant: str) -> None:
    """Accounts, ports, labels, mounts and the store's name: what one resource names, another has."""
    named = by_name(resources(cluster, variant))
    pods = [each["spec"]["template"] for each in named.values() if each["kind"] == "Deployment"]
    for pod in pods:
        assert ("ServiceAccount", pod["spec"]["serviceAccountName"]) in named
        for container in pod["spec"]["containers"]:
            for source in container.get("envFrom", []):
                assert ("ConfigMap", source["configMapRef"]["name"]) in named
    store = named["ConfigMap", "ratelimit-store"]["data"]["REDIS_URL"].partition(":")[0]
    assert ("Service", store) in named
    assert ("DestinationRule", store) in named
    gateway = named["Gateway", "cross-network-gateway"]["spec"]
    crossing = {host.partition(".")[0] for host in gateway["servers"][0]["hosts"]}
    assert ("ratelimit" in crossing, store in crossing) == (True, not variant)
    served = [
        service["metadata"]["name"]
        for service in named.values()
        if service["kind"] == "Service"
        and any(service["spec"]["selector"].items() <= pod["metadata"]["labels"].items() for pod in pods)
    ]
    elsewhere = {"redis"} if (cluster, variant) == ("cluster2", "") else set()
    assert {name for kind, name in named if kind == "Service"} - set(served) == elsewhere


@pytest.mark.parametrize(("cluster", "variant"), VARIANTS)
def test_the_network_policy_lets_the_store_be_reached(cluster: str, variant: str) -> None:
    """The service's egress has the store's pods by a label of theirs, and the other network's gateway by its port."""
    named = by_name(resources(cluster, variant))
    egress = named["NetworkPolicy", "ratelimit"]["spec"]["egress"]
    labels = [to["podSelector"]["matchLabels"] for rule in egress for to in rule.get("to", []) if "podSelector" in to]
    assert {"ports": [{"port": 15443}]} in egress
    stores = [name for kind, name in named if kind == "Deployment" and name.startswith("redis")]
    assert len(stores) == (0 if (cluster, variant) == ("cluster2", "") else 1)
    for name in stores:
        pod = named["Deployment", name]["spec"]["template"]["metadata"]["labels"]
        assert any(label.items() <= pod.items() for label in labels)


def test_the_gateways_are_ways_into_their_networks() -> None:
    """The label by which the other control plane finds the address, the network view, and TLS passed through."""
    for cluster in CLUSTERS:
        named = by_name(resources(cluster))
        network = cluster.replace("cluster", "network")
        service = named["Service", "istio-eastwestgateway"]
        assert service["metadata"]["labels"]["topology.istio.io/network"] == network
        assert 15443 in [port["port"] for port in service["spec"]["ports"]]
        (container,) = named["Deployment", "istio-eastwestgateway"]["spec"]["template"]["spec"]["containers"]
        assert {"name": "ISTIO_META_REQUESTED_NETWORK_VIEW", "value": network} in container["env"]
        (server,) = named["Gateway", "cross-network-gateway"]["spec"]["servers"]
        assert (server["port"]["number"], server["tls"]["mode"]) == (15443, "AUTO_PASSTHROUGH")
        assert named["Namespace", "istio-system"]["metadata"]["labels"]["topology.istio.io/network"] == network


def limits(resource: dict[str, Any]) -> dict[str, int]:
    """requests_per_unit of each tier in the ConfigMap."""
    config = yaml.safe_load(resource["data"]["config.yaml"])
    return {each["value"]: each["rate_limit"]["requests_per_unit"] for each in config["descriptors"]}


def test_the_shares_sum_to_the_limits() -> None:
    """For every tier, as the files are shipped; and the one that is too small is named."""
    whole = limits(yaml.safe_load((HERE / "cluster1" / "configmap.yaml").read_text()))
    parts = [
        limits(by_name(resources(cluster, "split"))["ConfigMap", "catalog-ratelimit-config"]) for cluster in CLUSTERS
    ]
    assert {tier: sum(part[tier] for part in parts) for tier in whole} == whole
    assert parts[0] == {"no_loyalty": 1, "bronze_request": 2, "silver_request": 3, "gold_request": 6}
    _, nothing = divided((ROOT / "deploy" / "kubernetes" / "configmap.yaml").read_text())
    assert [(each.cluster, each.limit) for each in nothing] == [("cluster2", 1)]
    assert set(WEIGHTS) == set(CLUSTERS)


def test_the_document_has_the_shares_that_are_shipped() -> None:
    """Its table is in numbers, and so are the folders."""
    tiers = ("gold_request", "silver_request", "bronze_request", "no_loyalty")
    found = [by_name(resources(cluster, "split"))["ConfigMap", "catalog-ratelimit-config"] for cluster in CLUSTERS]
    shares = [" / ".join(str(limits(each)[tier]) for tier in tiers) for each in found]
    text = (ROOT / "docs" / "multicluster.md").read_text()
    assert f"| all is well | 10 / 5 / 3 / 1 over both | {shares[0]} and {shares[1]} |" in text
    assert f"| 10 / 5 / 3 / 1 over both: cluster1 asks cluster2's service | {shares[1]} over both |" in text


def test_a_config_map_without_its_file_is_no_source() -> None:
    """Said, not divided into nothing."""
    with pytest.raises(ValueError, match=r"has no config\.yaml"):
        divided("data: {}\n")


def openssl(*arguments: str | Path) -> None:
    """Run it."""
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def workload(folder: Path, cluster: str) -> tuple[Path, Path]:
    """What istiod gives a sidecar of the catalog: a certificate with its chain, and the key."""
    key, request, leaf = (folder / f"{cluster}-{name}.pem" for name in ("key", "request", "leaf"))
    names = folder / "names.cnf"
    names.write_text(f"subjectAltName=critical,URI:{CALLER}\n")
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    openssl("req", "-new", "-key", key, "-subj", "/", "-out", request)
    authority = ["-CA", folder / cluster / "ca-cert.pem", "-CAkey", folder / cluster / "ca-key.pem", "-CAcreateserial"]
    openssl("x509", "-req", "-days", "1", "-in", request, *authority, "-extfile", names, "-out", leaf)
    chain = folder / f"{cluster}-chain.pem"
    chain.write_text(leaf.read_text() + (folder / cluster / "cert-chain.pem").read_text())
    return chain, key


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> Any:
    """Mutual TLS in memory; the client's certificate as the server sees it. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=None),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(sides)
    for _ in range(20):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    assert not waiting
    return sides[1].getpeercert()


def context(folder: Path, cluster: str, purpose: int, root: Path) -> ssl.SSLContext:
    """A sidecar's TLS: its own chain, and the root that it trusts."""
    made = ssl.SSLContext(purpose)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_cert_chain(*workload(folder, cluster))
    made.load_verify_locations(root)
    return made


def test_an_identity_holds_across_clusters(tmp_path: Path) -> None:
    """Certificates of one cluster's CA are taken in the other, and have the principal that the policies name."""
    made = subprocess.run([MAKE_CAS, tmp_path, *CLUSTERS], check=True, capture_output=True, text=True)
    assert made.stdout.count("create secret generic cacerts") == 2
    secret = {"ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"}
    assert {file.name for file in (tmp_path / "cluster1").iterdir()} == secret
    client = context(tmp_path, "cluster2", ssl.PROTOCOL_TLS_CLIENT, tmp_path / "cluster2" / "root-cert.pem")
    server = context(tmp_path, "cluster1", ssl.PROTOCOL_TLS_SERVER, tmp_path / "cluster1" / "root-cert.pem")
    assert handshake(client, server)["subjectAltName"] == (("URI", CALLER),)
    policy = by_name(resources("cluster1"))["AuthorizationPolicy", "ratelimit"]["spec"]["rules"][0]
    assert policy["from"][0]["source"]["principals"] == [CALLER.removeprefix("spiffe://")]


def test_another_root_is_a_stranger_and_a_cluster_can_be_added(tmp_path: Path) -> None:
    """A second run keeps the root and its keys; a CA of another root is refused."""
    subprocess.run([MAKE_CAS, tmp_path / "ours", "cluster1"], check=True, capture_output=True)
    root = (tmp_path / "ours" / "root" / "root-cert.pem").read_bytes()
    subprocess.run([MAKE_CAS, tmp_path / "ours", "cluster1", "cluster2"], check=True, capture_output=True)
    assert (tmp_path / "ours" / "root" / "root-cert.pem").read_bytes() == root
    openssl("verify", "-CAfile", tmp_path / "ours/cluster1/root-cert.pem", tmp_path / "ours/cluster2/ca-cert.pem")
    assert (tmp_path / "ours" / "root" / "root-key.pem").stat().st_mode & 0o077 == 0
    subprocess.run([MAKE_CAS, tmp_path / "theirs", "cluster1"], check=True, capture_output=True)
    trusted = tmp_path / "ours" / "cluster1" / "root-cert.pem"
    client = context(tmp_path / "theirs", "cluster1", ssl.PROTOCOL_TLS_CLIENT, trusted)
    server = context(tmp_path / "ours", "cluster1", ssl.PROTOCOL_TLS_SERVER, trusted)
    with pytest.raises(ssl.SSLError):
        handshake(client, server)


@pytest.mark.parametrize("names", [[], ["root"], ["a/b"], [""]])
def test_the_script_refuses_what_is_no_cluster(tmp_path: Path, names: list[str]) -> None:
    """Its usage, or the name; exit code 2."""
    ran = subprocess.run([MAKE_CAS, tmp_path, *names], check=False, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "make-cas.sh" in ran.stderr
