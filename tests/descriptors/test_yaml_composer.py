from typing import Any

import pytest
import yaml
from hypothesis import given, settings

from ratelimit.descriptors.yaml_composer import LoadLimits, Node, Scalar, Sequence, compose
from ratelimit.errors import ConfigError
from tests.descriptors.texts import files

WIDE = LoadLimits()


def drawn(node: Node, *, depth: int = 40) -> Any:
    """Ours as plain values: tag, line, contents."""
    if isinstance(node, Scalar):
        return (node.tag, node.line, node.text)
    below = node.elements if isinstance(node, Sequence) else [part for pair in node.pairs for part in pair]
    return (node.tag, node.line, [drawn(one, depth=depth - 1) for one in below] if depth else "…")


def drawn_by_pyyaml(node: yaml.Node, *, depth: int = 40) -> Any:
    """The same of PyYAML's."""
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        return (node.tag, line, node.value)
    below = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
    return (node.tag, line, [drawn_by_pyyaml(one, depth=depth - 1) for one in below] if depth else "…")


@settings(max_examples=150, deadline=None)
@given(files)
def test_nodes_are_those_of_pyyaml(text: str) -> None:
    """What PyYAML composes we compose alike, with its tags; what it refuses we refuse, but for anchors given twice."""
    clean = text.encode("utf-8", "replace").decode()
    try:
        theirs = [*yaml.compose_all(clean, Loader=yaml.CSafeLoader), None][0]
    except yaml.YAMLError as error:
        if "found duplicate anchor" not in str(error):
            with pytest.raises(ConfigError, match="not YAML: "):
                compose("f", clean, WIDE)
        return
    ours, _ = compose("f", clean, WIDE)
    assert (ours and drawn(ours)) == (theirs and drawn_by_pyyaml(theirs))


def test_an_anchor_may_be_given_twice() -> None:
    """As YAML and the reference have it: an alias is the last one before it."""
    node, _ = compose("f", "[&a 1, *a, &a 2, *a]", WIDE)
    assert isinstance(node, Sequence)
    assert [element.text for element in node.elements if isinstance(element, Scalar)] == ["1", "1", "2", "2"]


def test_only_the_first_document_counts() -> None:
    """That there are more is told; their anchors are their own."""
    node, several = compose("f", "--- &a x\n--- y\n", WIDE)
    assert isinstance(node, Scalar)
    assert (node.text, several) == ("x", True)
    with pytest.raises(ConfigError, match="f:2: not YAML: found undefined alias 'a'"):
        compose("f", "--- &a x\n--- *a\n", WIDE)


def test_depth_is_no_stack() -> None:
    """Ten thousand levels, where an operator allows them, are composed; nothing overflows."""
    node, _ = compose("f", "[" * 10_000 + "]" * 10_000, LoadLimits(depth_max=10**6))
    assert isinstance(node, Sequence)


@pytest.mark.parametrize(("text", "tag"), [("1", "int"), ("'1'", "str"), ("!!str 1", "str"), ("", None)])
def test_tags_are_written_or_taken_from_the_text(text: str, tag: str | None) -> None:
    """Quotes make a text of everything; an empty file has no node."""
    node, _ = compose("f", text, WIDE)
    assert (node and node.tag.rpartition(":")[2]) == tag
