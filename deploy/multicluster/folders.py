"""The folders cluster1 and cluster2: made from the single cluster's files where they agree, from cluster1's elsewhere.

Written by hand are cluster1's namespace, gateway and store, and cluster2's store. Comments are kept, so the files are
changed as text, at places that must be there exactly once.
"""

from collections.abc import Mapping
from pathlib import Path

from deploy.multicluster.split import Nothing, split

DEPLOY = Path(__file__).parents[1]
HERE = Path(__file__).parent
FIRST, SECOND = "cluster1", "cluster2"
# How much of the traffic each cluster has: the shares of every limit.
WEIGHTS = {FIRST: 3, SECOND: 2}

STORE_LINE = '            - {name: REDIS_URL, value: "redis:6379"}\n'
ENV = "          env:\n"
STORE_ENV = """          # REDIS_URL and STORE_CLOCK: store.yaml.
          envFrom:
            - configMapRef: {name: ratelimit-store}
"""
CALLERS = """        - podSelector:
            matchLabels: {app: catalog}
"""
GATEWAY_CALLS = """        # Calls of the other cluster come through our gateway.
        - namespaceSelector:
            matchLabels: {kubernetes.io/metadata.name: istio-system}
          podSelector:
            matchLabels: {istio: eastwestgateway}
"""
STORE_PODS = "            matchLabels: {app: redis}\n"
# Whatever the store's name is: a divided limit has one per cluster.
ANY_STORE_PODS = '            matchLabels: {ratelimit-store: "true"}\n'
EGRESS = "  egress:\n"
GATEWAY_EGRESS = """    # The other cluster's gateway, whose address is its load balancer's.
    - ports: [{port: 15443}]
"""
LOCALITY = """    # Our own cluster's instances first, the other's when none is left; acts only with outlierDetection.
    loadBalancer:
      localityLbSetting:
        enabled: true
        failoverPriority: [topology.istio.io/cluster]
"""


def files() -> dict[str, str]:
    """The text of every file that is made, by its path below this folder. Raises ValueError."""
    both = {
        "configmap.yaml": _made("kubernetes/configmap.yaml"),
        "ratelimit.yaml": _service(_made("kubernetes/ratelimit.yaml")),
        "destination-rule.yaml": _made("istio/destination-rule.yaml") + LOCALITY,
    }
    for name in ("ratelimit-filter", "ratelimit-actions", "authorization-policy", "peer-authentication"):
        both[f"{name}.yaml"] = _made(f"istio/{name}.yaml")
    made = {f"{cluster}/{name}": text for cluster in (FIRST, SECOND) for name, text in both.items()}
    for name in ("namespace.yaml", "eastwest-gateway.yaml", "split/store.yaml"):
        place = f"multicluster/{FIRST}/{name}"
        made[f"{SECOND}/{name}"] = _second(_made(place))
    for cluster, text in divided(_read("kubernetes/configmap.yaml"))[0].items():
        made[f"{cluster}/split/configmap.yaml"] = text
    return made


def divided(config_map: str) -> tuple[dict[str, str], list[Nothing]]:
    """The ConfigMap of each cluster where limits are divided by WEIGHTS; and what is too small. Raises ValueError."""
    head, found, config = config_map.partition("  config.yaml: |\n")
    if not found:
        raise ValueError("deploy/kubernetes/configmap.yaml has no config.yaml")
    texts, nothing = split(config, WEIGHTS)
    head = "\n".join(line for line in head.splitlines() if not line.startswith("#"))
    weights = ", ".join(f"{cluster} {weight}" for cluster, weight in WEIGHTS.items())
    note = f"# Made by `python -m deploy.multicluster`: the limits of config/catalog.yaml by weight ({weights})."
    return {cluster: f"{note}\n{head}\n{found}{text}" for cluster, text in texts.items()}, nothing


def write(made: Mapping[str, str], folder: Path = HERE) -> list[str]:
    """Write what differs; which files that were."""
    changed = [name for name, text in made.items() if not _holds(folder / name, text)]
    for name in changed:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(made[name])
    return changed


def _holds(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text() == text


def _service(text: str) -> str:
    for old, new in (
        (STORE_LINE, ""),
        (ENV, STORE_ENV + ENV),
        (CALLERS, CALLERS + GATEWAY_CALLS),
        (STORE_PODS, ANY_STORE_PODS),
        (EGRESS, EGRESS + GATEWAY_EGRESS),
    ):
        if text.count(old) != 1:
            raise ValueError(f"deploy/kubernetes/ratelimit.yaml has this {text.count(old)} times, not once:\n{old}")
        text = text.replace(old, new)
    return text


def _second(text: str) -> str:
    return text.replace("cluster1", "cluster2").replace("network1", "network2").replace(f"{SECOND}/", f"{FIRST}/")


def _made(name: str) -> str:
    return f"# Made by `python -m deploy.multicluster` from deploy/{name}.\n{_read(name)}"


def _read(name: str) -> str:
    return (DEPLOY / name).read_text()
