import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.descriptors import tree
from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.request import Descriptor
from ratelimit.descriptors.specification import Place
from ratelimit.descriptors.tree import Config, Match, Matched, Node, TreeBuilder, walk

LEVELS = b"""
domain: d
descriptors:
  - key: a
    value: exact
    rate_limit: {unit: minute, requests_per_unit: 1}
  - key: a
    value: ex*t
    rate_limit: {unit: minute, requests_per_unit: 2}
  - key: a
    value: e*
    rate_limit: {unit: minute, requests_per_unit: 3}
  - key: a
    rate_limit: {unit: minute, requests_per_unit: 4}
    descriptors:
      - key: b
        rate_limit: {unit: minute, requests_per_unit: 5}
  - key: file
    value: "*.txt"
    share_threshold: true
    rate_limit: {unit: hour, requests_per_unit: 6}
    descriptors:
      - key: who
        rate_limit: {unit: hour, requests_per_unit: 7}
        detailed_metric: true
  - key: plain
    value_to_metric: true
    descriptors:
      - key: deep
        detailed_metric: true
        rate_limit: {unit: day, requests_per_unit: 8}
        metadata: {team: x}
      - key: wide
        value: w*
        rate_limit: {unit: day, requests_per_unit: 9}
      - key: loud
        value: l*
        value_to_metric: true
        rate_limit: {unlimited: true}
"""


@pytest.fixture(scope="module")
def config() -> Config:
    """One domain with every kind of match."""
    return load_config([ConfigFile("levels.yaml", LEVELS)])


def found(config: Config, *entries: tuple[str, str]) -> Match | None:
    """The match of a descriptor in the domain d."""
    return config.match("d", Descriptor(entries))


@pytest.mark.parametrize(
    ("entries", "requests"),
    [
        ((("a", "exact"),), 1),
        ((("a", "exit"),), 2),
        ((("a", "elm"),), 3),
        ((("a", "extt"),), 2),
        ((("a", "other"),), 4),
        ((("a", ""),), 4),
        ((("a", "other"), ("b", "x")), 5),
        ((("a", "exact"), ("b", "x")), None),
        ((("a", "other"), ("b", "x"), ("c", "y")), None),
        ((("b", "x"),), None),
        ((("plain", "x"),), None),
        ((), None),
    ],
)
def test_the_walk(config: Config, entries: tuple[tuple[str, str], ...], requests: int | None) -> None:
    """Exact, then patterns in file order, then the bare key; no backtracking; the depth is equal."""
    match = found(config, *entries)
    assert (match.limit.requests_per_unit if match else None) == requests


@pytest.mark.parametrize(
    ("entries", "stat_key"),
    [
        ((("a", "exact"),), "d.a_exact"),
        ((("a", "elsewhere"),), "d.a_e*"),
        ((("a", "other"),), "d.a"),
        ((("file", "x.txt"),), "d.file_*.txt"),
        ((("file", "x.txt"), ("who", "me")), "d.file_*.txt.who_me"),
        ((("plain", "p"), ("deep", "")), "d.plain_p.deep_"),
        ((("plain", "p"), ("wide", "west")), "d.plain_p.wide_w*"),
        ((("plain", "p"), ("loud", "lo")), "d.plain_p.loud_lo"),
    ],
)
def test_stat_keys_are_the_reference_s(config: Config, entries: tuple[tuple[str, str], ...], stat_key: str) -> None:
    """share_threshold, detailed_metric and value_to_metric decide what stands in the metrics."""
    match = found(config, *entries)
    assert match is not None
    assert match.stat_key == stat_key
    assert match.configured == (stat_key in paths("d", config.domains["d"]))


def paths(parent: str, node: Node) -> set[str]:
    """The path of every node below `node`: as many stat keys as a configuration can have of its own."""
    return set().union(
        *({f"{parent}.{name}", *paths(f"{parent}.{name}", below)} for name, below in node.children.items())
    )


def test_share_threshold_shares_the_counter(config: Config) -> None:
    """All values that match count as the pattern; the levels below keep theirs."""
    match = found(config, ("file", "x.txt"), ("who", "me"))
    assert match is not None
    assert match.counter_entries == (("file", "*.txt"), ("who", "me"))


def test_an_override_goes_first(config: Config) -> None:
    """A limit in the descriptor ignores the configuration, but the domain must exist."""
    descriptor = Descriptor((("any", "thing"), ("k", "")), Limit(42, Unit.HOUR))
    match = config.match("d", descriptor)
    assert match is not None
    assert (match.limit.requests_per_unit, match.stat_key, match.configured) == (42, "d.any_thing.k", False)
    assert config.match("unknown", descriptor) is None


def test_an_override_without_entries_is_named_as_the_reference_names_it(config: Config) -> None:
    """The dot between domain and descriptor stands there all the same."""
    match = config.match("d", Descriptor((), Limit(42, Unit.HOUR)))
    assert match is not None
    assert match.stat_key == "d."


@pytest.mark.parametrize(
    ("entries", "name"),
    [
        ((("", ""),), "d."),
        ((("", ""), ("b", "")), "d.b"),
        ((("a", ""), ("", "")), "d.a."),
        ((("", "v"),), "d._v"),
        ((("a", "1"), ("", "x")), "d.a_1._x"),
    ],
)
def test_empty_keys_and_values_are_named_as_the_reference_names_them(
    entries: tuple[tuple[str, str], ...], name: str, config: Config
) -> None:
    """Captured from it: a dot only behind a name that is there already."""
    match = config.match("d", Descriptor(entries, Limit(42, Unit.HOUR)))
    assert match is not None
    assert match.stat_key == name


@pytest.mark.parametrize("key", ["k*", "kk"])
def test_a_key_with_a_wildcard_is_named_after_the_entry_and_the_pattern(key: str) -> None:
    """Whatever key the entry has, `*` itself included."""
    root = Node("d")
    root.add(Node("k*", Limit(1, Unit.DAY)))
    match = Config({"d": root}).match("d", Descriptor(((key, "v"),)))
    assert match is not None
    assert (match.stat_key, match.configured) == (f"d.{key}_k*", False)


def test_metadata_is_kept_with_a_detailed_metric(config: Config) -> None:
    """The reference loses it there."""
    match = found(config, ("plain", "p"), ("deep", "x"))
    assert match is not None
    assert match.limit.metadata == {"team": "x"}


def test_dump_has_a_line_for_each_limit(config: Config) -> None:
    """In file order, as /rlconfig shows."""
    lines = config.dump().splitlines()
    assert len(lines) == 10
    assert lines[0] == "d.a_exact: unit=MINUTE requests_per_unit=1, shadow_mode: false, quota_mode: false"
    assert lines[-1] == "d.plain.loud_l*: unit=UNKNOWN requests_per_unit=0, shadow_mode: false, quota_mode: false"


def test_a_dump_tells_of_what_is_not_common() -> None:
    """The multiplier and the algorithm stand behind the unit, where they are given."""
    text = b"""
domain: d
descriptors: [{key: k, rate_limit: {unit: minute, unit_multiplier: 5, requests_per_unit: 1, algorithm: gcra}}]
"""
    dumped = load_config([ConfigFile("f", text)]).dump()
    modes = "shadow_mode: false, quota_mode: false"
    assert dumped == f"d.k: unit=MINUTE unit_multiplier=5 algorithm=gcra requests_per_unit=1, {modes}\n"


@given(st.text("ab*", max_size=5), st.text("ab", max_size=6))
def test_patterns_match_as_a_regular_expression(pattern: str, value: str) -> None:
    """`*` stands for any text, and what is around it does not overlap."""
    root = Node("d")
    root.add(Node(f"k_{pattern}*", Limit(1, Unit.DAY)))
    expected = re.fullmatch(re.escape(f"{pattern}*").replace(r"\*", ".*"), value) is not None
    matched = Config({"d": root}).match("d", Descriptor((("k", value),))) is not None
    assert matched == expected


def test_the_walk_tells_where_it_stopped_and_what_it_tried(config: Config) -> None:
    """Level by level: what took the entry, and in the end what was looked for in vain."""
    levels = walk(config.domains["d"], (("a", "elsewhere"), ("b", "x"), ("c", "y")))
    assert [(level.matched, level.node and level.node.composite) for level in levels] == [
        (Matched.PATTERN, "a_e*"),
        (Matched.NOTHING, None),
    ]
    assert list(levels[0].tried()) == ["a_elsewhere", "a_ex*t", "a_e*"]
    assert list(levels[1].tried()) == ["b_x", "b"]
    exact = walk(config.domains["d"], (("a", "exact"),))
    assert list(exact[0].tried()) == ["a_exact"]


def test_every_node_knows_its_key_value_and_place(config: Config) -> None:
    """What explains a limit can say where it is written."""
    node = config.domains["d"].children["file_*.txt"].children["who"]
    assert (node.key, node.value) == ("who", "")
    assert node.place == Place("levels.yaml", 23, "descriptors[4].descriptors[0]")


def test_leaves_share_their_emptiness_and_nothing_else() -> None:
    """A node that gets a child does not give it to every other leaf."""
    parent, other = Node("a"), Node("b")
    parent.add(Node("c", value="*"))
    assert not other.children
    assert not other.patterns


def test_a_tree_is_built_from_nodes_that_come_one_by_one() -> None:
    """Depth tells the parent; a domain that comes again goes on."""
    builder = TreeBuilder()
    for depth, key in ((0, "d"), (1, "a"), (2, "b"), (1, "c"), (0, "e"), (0, "d"), (1, "f")):
        builder.add(depth, Node(key, Limit(1, Unit.DAY)))
    lines = Config(builder.domains).dump().splitlines()
    assert [line.split(":")[0] for line in lines] == ["d.a", "d.a.b", "d.c", "d.f"]


words = st.sampled_from(("", "a", "b", "a*", "*", "ab", "b_a"))
keys = st.sampled_from(("k", "k*", "k_a", "l"))
flags = st.tuples(st.booleans(), st.booleans(), st.booleans())


@st.composite
def trees(draw: st.DrawFn, levels: int) -> Node:
    """A node with children of every kind: exact, pattern, bare, with every mix of flags."""
    detailed, by_value, share = draw(flags)
    node = Node(draw(keys), Limit(1, Unit.DAY), draw(words), detailed, by_value)
    node.share_threshold = share and "*" in node.composite
    for child in draw(st.lists(trees(levels - 1), max_size=3)) if levels else ():
        node.add(child)
    return node


@settings(max_examples=150, deadline=None)
@given(trees(3), st.lists(st.tuples(st.sampled_from(("k", "kk", "k_a", "l")), st.text("ab*_", max_size=3)), max_size=3))
def test_configured_stat_keys_are_bounded_by_the_configuration(root: Node, entries: list[tuple[str, str]]) -> None:
    """Whatever values callers choose: a name that counts as configured is the path of a node, no other is."""
    config = Config({"d": root})
    match = config.match("d", Descriptor(tuple(entries)))
    if match is not None:
        assert match.configured == (match.stat_key in paths("d", root))


TEXTS = st.text(alphabet="ab*", max_size=4)


@given(st.lists(TEXTS.map(lambda text: f"k_{text}*"), unique=True, max_size=12), st.text(alphabet="ab", max_size=5))
def test_the_first_pattern_in_file_order_wins(patterns: list[str], value: str) -> None:
    """However they begin: only which of them are looked at is a matter of speed."""
    root = Node("d")
    for pattern in patterns:
        root.add(Node("k", value=pattern.removeprefix("k_")))
    text = f"k_{value}"
    expected = [pattern for pattern in patterns if re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text)]
    found = root.first_pattern(text)
    assert (found and found.composite) == (expected[0] if expected else None)


def test_many_patterns_are_not_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,000 that begin differently, one is held against a value."""
    root, looked = Node("d"), list[str]()
    for number in range(1000):
        root.add(Node("k", value=f"{number:04}-*"))
    matches = tree._matches

    def record(parts: tuple[str, ...], text: str) -> bool:
        looked.append(parts[0])
        return matches(parts, text)

    monkeypatch.setattr(tree, "_matches", record)
    assert root.first_pattern("k_0777-x") is root.children["k_0777-*"]
    assert looked == ["k_0777-"]
