from pathlib import PurePath

from ratelimit.lint.finding import Finding
from ratelimit.lint.resources import MeshFile, folder_below, labels_of, read_resources


def test_objects_and_documents_of_envoy() -> None:
    """Lists are opened, a namespace is the default one unless given, and what has no kind is Envoy's own."""
    text = (
        "kind: List\nitems: [{kind: A, metadata: {name: a, namespace: n, labels: {x: y}}}]\n---\nkind: B\n---\nb: 1\n"
    )
    found: list[Finding] = []
    first, second, third = read_resources([MeshFile("f.yaml", text.encode(), "sub")], found)
    assert (first.kind, first.name, first.namespace, first.folder) == ("A", "a", "n", "sub")
    assert labels_of(first.item.get("metadata", "labels")) == {"x": "y"}
    assert (second.kind, second.namespace, third.kind) == ("B", "default", "")
    assert found == []


def test_folders_are_told_apart() -> None:
    """Files of the directory that was named, and those below it."""
    root = PurePath("deploy")
    assert [folder_below(root / name, root) for name in ("a.yaml", "x/a.yaml")] == ["", "deploy/x"]
