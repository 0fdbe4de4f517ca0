"""Istio's own schemas of its resources, as istio.io/api ships them for the API server, held strictly.

What they do not know is an error. `make tools` brings them; their rules in CEL are not run.
"""

import functools
from pathlib import Path
from typing import Any

import jsonschema
import yaml


def validate(resource: dict[str, Any], definitions: Path) -> None:
    """By Istio's file of definitions. Raises jsonschema.ValidationError, which names the place."""
    group, version = resource["apiVersion"].split("/")
    schema = _versions(definitions, resource["kind"], group)[version]
    jsonschema.Draft202012Validator(schema).validate(resource)


@functools.cache
def _versions(definitions: Path, kind: str, group: str) -> dict[str, Any]:
    """The schema of each version of a kind. Raises AssertionError where there is no such kind."""
    texts = [
        text for text in _texts(definitions) if f"\n  group: {group}\n" in text and f"\n    kind: {kind}\n" in text
    ]
    assert len(texts) == 1, f"{kind}.{group} is not Istio's"
    spec = yaml.load(texts[0], Loader=yaml.CSafeLoader)["spec"]
    return {version["name"]: _whole(version["schema"]["openAPIV3Schema"]) for version in spec["versions"]}


@functools.cache
def _texts(definitions: Path) -> list[str]:
    """The text of each CustomResourceDefinition: to parse all takes seconds."""
    return definitions.read_text().split("\n---\n")


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    every: dict[str, Any] = {name: {"type": "string"} for name in ("apiVersion", "kind")}
    every |= {"metadata": {"type": "object", "required": ["name"]}}
    return _closed({**schema, "properties": {**every, **schema["properties"]}, "required": [*every, "spec"]})


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with every object closed that names its properties, as the API server prunes it."""
    closed = dict(schema)
    if "properties" in schema:
        closed["properties"] = {name: _closed(each) for name, each in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            closed["additionalProperties"] = False
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            closed[inner] = _closed(schema[inner])
    return closed
