from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.descriptors.limit import Unit
from ratelimit.descriptors.rules import SpecificationRules
from ratelimit.descriptors.tree import Node, TreeBuilder
from ratelimit.errors import ConfigError
from ratelimit.sources.xds_messages import TYPE_URL, digest_of, specifications
from tests.sources.control_plane import packed


def loaded(*resources: dict[str, Any]) -> dict[str, Node]:
    """The tree of some resources, given as protojson."""
    builder = TreeBuilder()
    rules = SpecificationRules()
    for specification in specifications([packed(each) for each in resources]):
        for depth, node in rules.nodes(specification):
            builder.add(depth, node)
    return builder.domains


def test_a_resource_says_what_a_file_says() -> None:
    """Nested as Envoy Gateway nests them: the route, then the rule; with everything that a descriptor may carry."""
    rule = {
        "key": "rule-0-match-0",
        "value": "rule-0-match-0",
        "rate_limit": {"unit": "WEEK", "requests_per_unit": 5, "name": "n", "replaces": [{"name": "m"}]},
        "shadow_mode": True,
        "quota_mode": True,
        "detailed_metric": True,
        "metadata": {"team": "a", "deep": {"list": [1, None, True]}},
    }
    route = {"key": "httproute/default/backend", "value": "httproute/default/backend", "descriptors": [rule]}
    (domain,) = loaded({"name": "first-listener", "domain": "first-listener", "descriptors": [route]}).values()
    (top,) = domain.children.values()
    (leaf,) = top.children.values()
    assert (domain.key, top.composite, top.limit) == ("first-listener", f"{route['key']}_{route['key']}", None)
    assert leaf.limit is not None
    assert (leaf.limit.requests_per_unit, leaf.limit.unit, leaf.limit.name) == (5, Unit.WEEK, "n")
    assert (leaf.limit.shadow_mode, leaf.limit.quota_mode, leaf.detailed_metric) == (True, True, True)
    assert leaf.limit.replaces == {"m"}
    assert leaf.limit.metadata == rule["metadata"]
    assert (leaf.place.file, leaf.place.key_path) == ("first-listener", "descriptors[0].descriptors[0]")


def test_values_are_texts() -> None:
    """Nothing is taken for YAML."""
    texts = ["yes", "010", "~", "1:30", "", "a: b"]
    descriptors = [{"key": f"k{number}", "value": text} for number, text in enumerate(texts)]
    (domain,) = loaded({"domain": "on", "descriptors": descriptors}).values()
    assert [child.value for child in domain.children.values()] == texts
    assert domain.key == "on"


def test_an_unlimited_limit_has_no_unit() -> None:
    """UNKNOWN is none."""
    (domain,) = loaded({"domain": "d", "descriptors": [{"key": "k", "rate_limit": {"unlimited": True}}]}).values()
    (node,) = domain.children.values()
    assert node.limit is not None
    assert node.limit.unlimited


LIMIT = {"unit": "DAY", "requests_per_unit": 1}


@pytest.mark.parametrize(
    ("descriptors", "error"),
    [
        ([{}], "r: descriptors[0].key: descriptor has empty key"),
        (
            [{"key": "k", "rate_limit": {"requests_per_unit": 1}}],
            "r: descriptors[0].rate_limit.unit: invalid rate limit",
        ),
        ([{"key": "k", "rate_limit": {"unit": 77}}], "r: descriptors[0].rate_limit.unit: invalid rate limit unit '77'"),
        ([{"key": "k", "rate_limit": {"unlimited": True, "unit": 4}}], "r: descriptors[0].rate_limit.unit: should not"),
        (
            [{"key": "k", "descriptors": [{"key": "a", "rate_limit": {**LIMIT, "replaces": [{"name": "a"}, {}]}}]}],
            "r: descriptors[0].descriptors[0].rate_limit.replaces[1]: should not have an empty replaces entry",
        ),
        ([{"key": "k"}, {"key": "k"}], "r: descriptors[1]: duplicate descriptor composite key 'd.k'"),
        ([{"key": "k", "metadata": {"a": "x" * 70_000}}], "r: descriptors[0].metadata: more than 65536 bytes as JSON"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(descriptors: list[Any], error: str) -> None:
    """The resource and the key path."""
    with pytest.raises(ConfigError) as raised:
        loaded({"name": "r", "domain": "d", "descriptors": descriptors})
    assert str(raised.value).startswith(error)


def test_a_resource_without_a_domain_or_a_domain_twice_is_refused() -> None:
    """By the same rules as files."""
    with pytest.raises(ConfigError, match="r: domain: config file cannot have empty domain"):
        loaded({"name": "r"})
    with pytest.raises(ConfigError, match="b: domain: duplicate domain 'd' in config file, first in a"):
        loaded({"name": "a", "domain": "d"}, {"name": "b", "domain": "d"})


def deep(levels: int) -> dict[str, Any]:
    """Descriptors below descriptors."""
    return {"key": "k", "descriptors": [deep(levels - 1)]} if levels else {"key": "k"}


@pytest.mark.parametrize(
    ("resource", "error"),
    [
        (
            AnyMessage(type_url="type.googleapis.com/x", value=b""),
            "resource 0: a resource of type 'type.googleapis.com/x'",
        ),
        (AnyMessage(type_url=TYPE_URL, value=b"\xff"), "resource 0: not a RateLimitConfig"),
        (AnyMessage(type_url=TYPE_URL, value=b"\x1a\x82\x01" * 200), "resource 0: not a RateLimitConfig"),
    ],
)
def test_what_is_no_resource_is_refused(resource: AnyMessage, error: str) -> None:
    """By its number, since it has no name."""
    with pytest.raises(ConfigError) as raised:
        list(specifications([resource]))
    assert str(raised.value).startswith(error)


def test_deep_trees_load() -> None:
    """As deep as protobuf reads them."""
    resource = packed({"domain": "d", "descriptors": [deep(80)]})
    depths = [depth for each in specifications([resource]) for depth, _ in SpecificationRules().nodes(each)]
    assert depths == list(range(82))


def test_the_digest_tells_resources_apart() -> None:
    """Their contents, their types and their order."""
    one, two = packed({"domain": "a"}), packed({"domain": "b"})
    other = AnyMessage(type_url="x", value=one.value)
    assert len({digest_of(each) for each in ([], [one], [two], [one, two], [two, one], [other])}) == 6
    assert digest_of([one]) == digest_of([packed({"domain": "a"})])


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(value: bytes) -> None:
    """A specification or a ConfigError, whatever comes."""
    resource = AnyMessage(type_url=TYPE_URL, value=value)
    try:
        (specification,) = specifications([resource])
    except ConfigError:
        return
    assert json_format.MessageToDict(resource)
    assert isinstance(specification.domain, str)
