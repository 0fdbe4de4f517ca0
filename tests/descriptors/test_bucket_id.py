from itertools import permutations

import pytest

from ratelimit.descriptors.bucket_id import ENTRIES_MAX, ordered
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.tree import Node

LIMIT = "rate_limit: {unit: second, requests_per_unit: 100}"
TEXT = f"""domain: d
descriptors:
  - key: tenant
    descriptors:
      - {{key: path, value: /login, {LIMIT}}}
      - key: path
        descriptors: [{{key: method, {LIMIT}}}]
  - key: path
    descriptors:
      - {{key: tenant, {LIMIT}}}
  - {{key: tenant, value: acme, {LIMIT}}}
  - {{key: env, value: "", {LIMIT}}}
  - key: w*
    descriptors: [{{key: w*, {LIMIT}}}]
"""


def root_of(text: str) -> Node:
    """The domain of a file."""
    return load_config([ConfigFile("f.yaml", text.encode())]).domains["d"]


@pytest.mark.parametrize(
    ("bucket_id", "order"),
    [
        ({"tenant": "x", "path": "/login"}, ["tenant", "path"]),
        ({"tenant": "x", "path": "/other"}, ["path", "tenant"]),
        ({"tenant": "x", "path": "/other", "method": "GET"}, ["tenant", "path", "method"]),
        ({"tenant": "acme"}, ["tenant"]),
        ({"env": ""}, ["env"]),
        ({"tenant": "x"}, None),
        ({"nothing": "x"}, None),
        ({"path": "/login", "method": "GET"}, None),
        ({}, None),
    ],
)
def test_the_tree_decides_about_the_order(bucket_id: dict[str, str], order: list[str] | None) -> None:
    """The first way in the files that ends at a limit with every entry taken, however the map is ordered."""
    for entries in permutations(bucket_id.items()):
        found = ordered(root_of(TEXT), dict(entries))
        assert (None if found is None else [key for key, _ in found]) == order
        assert found is None or dict(found) == bucket_id


def test_entries_that_one_pattern_takes_go_by_their_text() -> None:
    """The order of the files does not tell them apart."""
    assert ordered(root_of(TEXT), {"w2": "1", "w1": "2"}) == (("w1", "2"), ("w2", "1"))


def test_a_bucket_id_is_bounded() -> None:
    """More entries than anybody needs reach nothing, and a tree with endless ways is given up."""
    assert ordered(root_of(TEXT), {f"k{number}": "v" for number in range(ENTRIES_MAX + 1)}) is None
    nested = "descriptors: [{key: 'k*', " * 9
    maze = f"domain: d\n{nested}value: ''" + "}]" * 9
    assert ordered(root_of(maze), {f"k{number}": "v" for number in range(ENTRIES_MAX)}) is None
