"""`make manifests`: what the Helm chart and the kustomize base hold of the files beside them.

A chart is one folder, and kustomize reads nothing outside of its base, so both need copies. Each is made here of the
one file that is written by hand; a test shows that they are what this makes.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "ratelimit" / "files"
KUSTOMIZE = DEPLOY / "kustomize"
MADE = "# Made by `make manifests`"


def copies() -> dict[Path, str]:
    """Every file that is made, with its text."""
    return dict(_copies())


def _copies() -> Iterator[tuple[Path, str]]:
    yield CHART / "catalog.yaml", (ROOT / "config" / "catalog.yaml").read_text()
    yield CHART / "actions.yaml", f"{MADE} of deploy/istio/ratelimit-actions.yaml.\n{_dump(_actions())}"
    for rules in ("alerts", "recording"):
        yield CHART / f"{rules}.yaml", (DEPLOY / "prometheus" / f"{rules}.yaml").read_text()
    monitoring = KUSTOMIZE / "components" / "monitoring"
    yield monitoring / "prometheus-rule.yaml", f"{MADE} of deploy/prometheus.\n{_dump(_prometheus_rule())}"
    for dashboard in sorted((DEPLOY / "grafana").glob("*.json")):
        yield CHART / "dashboards" / dashboard.name, dashboard.read_text()
        yield monitoring / f"envoy-{dashboard.name}", dashboard.read_text()
    for source, target in (("kubernetes", "base"), ("istio", "components/istio")):
        for file in sorted((DEPLOY / source).glob("*.yaml")):
            yield KUSTOMIZE / target / file.name, f"{MADE} of deploy/{source}/{file.name}.\n{file.read_text()}"


def _actions() -> list[dict[str, Any]]:
    (patch,) = _read("istio/ratelimit-actions.yaml")["spec"]["configPatches"]
    found: list[dict[str, Any]] = patch["patch"]["value"]["rate_limits"]
    return found


def _prometheus_rule() -> dict[str, Any]:
    groups = [group for rules in ("alerts", "recording") for group in _read(f"prometheus/{rules}.yaml")["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "ratelimit", "namespace": "istioinaction"},
        "spec": {"groups": groups},
    }


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return found


def _dump(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=120)


def main() -> int:
    """Write them all."""
    for path, text in copies().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
