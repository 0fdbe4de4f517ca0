import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deploy.demo.processes import ROOT
from tests.deploy.istio_schemas import validate

pytestmark = pytest.mark.tools
FILES = sorted([*(ROOT / "deploy" / "istio").rglob("*.yaml"), *(ROOT / "deploy" / "multicluster").rglob("*.yaml")])


def istio_resources(file: Path) -> list[dict[str, Any]]:
    """The resources of a file that are Istio's."""
    return [each for each in yaml.safe_load_all(file.read_text()) if ".istio.io/" in each["apiVersion"]]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT / "deploy")))
def test_istio_takes_every_field(istio_crds: Path, file: Path) -> None:
    """Strictly, against the schemas of Istio 1.32: an unknown field would be dropped without a word at the push."""
    for resource in istio_resources(file):
        validate(resource, istio_crds)


MISTAKES: list[tuple[str, tuple[str, ...], Any]] = [
    ("destination-rule.yaml", ("spec", "trafficPolicy", "outlierDetection", "maxEjectPercent"), 100),
    ("destination-rule.yaml", ("spec", "trafficPolicy", "outlierDetection", "maxEjectionPercent"), "all"),
    ("peer-authentication.yaml", ("spec", "mtls", "mode"), "STRICTLY"),
    ("ratelimit-filter.yaml", ("spec", "workloadSelectors"), {}),
]


@pytest.mark.parametrize(("name", "place", "value"), MISTAKES, ids=lambda value: str(value)[:60])
def test_a_mistake_is_found(istio_crds: Path, name: str, place: tuple[str, ...], value: Any) -> None:
    """A misspelt field, a wrong type, a word that is none of the choices."""
    (good,) = istio_resources(ROOT / "deploy" / "istio" / name)
    bad = copy.deepcopy(good)
    inner = bad
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        validate(bad, istio_crds)
