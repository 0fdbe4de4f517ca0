"""From files to resources: Kubernetes objects, and documents that are Envoy's own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from ratelimit.descriptors.specification import Place
from ratelimit.descriptors.yaml_composer import LoadLimits
from ratelimit.descriptors.yaml_nodes import Document, read_roots
from ratelimit.errors import ConfigError
from ratelimit.lint.finding import Finding, of_error, of_warning
from ratelimit.lint.items import Item, item_of

SUFFIXES = (".yaml", ".yml", ".json")
_TEMPLATE = b"{{"
# Deeper than any bootstrap, and shallow enough for what visits it by recursion.
_LIMITS = LoadLimits(depth_max=100)


@dataclass(frozen=True, slots=True)
class MeshFile:
    """One file as read. `folder` tells files apart that are not applied together: "" for those that were named."""

    name: str
    text: bytes
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """A Kubernetes object; or with an empty `kind` a document of Envoy's own."""

    kind: str
    name: str
    namespace: str
    folder: str
    item: Item

    @property
    def spec(self) -> Item:
        """What it asks for."""
        return self.item.get("spec")


def read_resources(files: Sequence[MeshFile], found: list[Finding]) -> list[Resource]:
    """Every resource of the files; what cannot be read goes to `found`."""
    return [resource for file in files for resource in _resources(file, found)]


def _resources(file: MeshFile, found: list[Finding]) -> Iterator[Resource]:
    # Lenient, since Envoy and kubectl take repeated keys too; they are told.
    document = Document(file.name, _LIMITS, strict=False)
    try:
        items = [item_of(root) for root in read_roots(document, file.text)]
    except ConfigError as error:
        if _TEMPLATE in file.text:
            said = "a template, not plain YAML: it is left out"
            found.append(Finding("template", Place(error.file, error.line), said, "render it and check what comes out"))
        else:
            found.append(of_error(error, "not-readable"))
        return
    found += [of_warning(text, "repeated-key") for text in document.warnings]
    for item in items:
        yield from _objects(item, file.folder)


def _objects(item: Item, folder: str) -> Iterator[Resource]:
    kind, metadata = item.get("kind").text, item.get("metadata")
    if kind.endswith("List") and item.get("items").elements:
        for inner in item.get("items").elements:
            yield from _objects(inner, folder)
    else:
        namespace = metadata.get("namespace").text or "default"
        yield Resource(kind, metadata.get("name").text, namespace, folder, item)


def labels_of(item: Item) -> Mapping[str, str]:
    """A mapping of labels."""
    return {name: value.text for name, value in item.fields.items()}


def folder_below(path: PurePath, root: PurePath) -> str:
    """The folder of a file that was found below `root`: "" for one that is directly in it."""
    return "" if path.parent == root else path.parent.as_posix()
