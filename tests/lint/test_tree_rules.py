from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.descriptors.loader import load_config
from ratelimit.descriptors.request import Descriptor
from ratelimit.descriptors.tree import walk
from tests.lint.findings import files_of, named, of_files, of_texts

LIMIT = "rate_limit: {unit: day, requests_per_unit: %d}"


def descriptor(key: str, value: str = "", requests: int = 1, below: str = "") -> str:
    """A descriptor on one line, with a limit unless `requests` is 0."""
    parts = [f"key: '{key}'"] + ([f"value: '{value}'"] if value else []) + ([LIMIT % requests] if requests else [])
    return "- {" + ", ".join([*parts, *([f"descriptors: [{below}]"] if below else [])]) + "}"


def of_level(*descriptors: str) -> list[tuple[str, int | None, str]]:
    """The findings of a domain with these descriptors, the first in line 3."""
    return named(of_texts("\n".join(["domain: d", "descriptors:", *descriptors])))


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (("k", "*"), ("k", "a*")),
        (("k", "a*"), ("k", "ab*")),
        (("k", "*a*"), ("k", "*ba*")),
        (("k", "a*"), ("k", "a*b")),
        (("k", "*"), ("k", "")),
        (("k*", ""), ("ko", "x*y")),
        (("k", "**"), ("k", "*")),
    ],
)
def test_what_an_earlier_pattern_takes(earlier: tuple[str, str], later: tuple[str, str]) -> None:
    """A narrower pattern behind a wider one, and a bare key behind a `*`."""
    assert of_level(descriptor(*earlier, 1), descriptor(*later, 2)) == [("never-matches", 4, "descriptors[1]")]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (("k", "ab*"), ("k", "a*")),
        (("k", "*a"), ("k", "a*")),
        (("k", "*"), ("k", "a")),
        (("k", "ab*ba"), ("k", "aba")),
        (("k", "?*"), ("k", "")),
        (("l", "*"), ("k", "*")),
    ],
)
def test_what_an_earlier_pattern_leaves(earlier: tuple[str, str], later: tuple[str, str]) -> None:
    """Something gets past it; an exact value goes before every pattern."""
    assert of_level(descriptor(*earlier, 1), descriptor(*later, 2)) == []


def test_what_hangs_below_is_told_once() -> None:
    """With the number of its limits, and where what takes it stands."""
    lost = descriptor("k", "a*", 0, "{key: l, " + LIMIT % 1 + "}")
    (found,) = of_texts("\n".join(["domain: d", "descriptors:", descriptor("k", "*", 3), lost]))
    assert "nor are the 1 limits below it: 'k_*' (a.yaml:3) takes all of it" in found.said


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (descriptor("k", "a", 1), descriptor("k", below="{key: l, " + LIMIT % 2 + "}", requests=0), "by 'l'"),
        (descriptor("k", "a", 0, "{key: l, " + LIMIT % 2 + "}"), descriptor("k"), "when they end here"),
        (
            descriptor("k", "a", 1),
            descriptor("k", "*", 2, "{key: l, descriptors: [{key: m, " + LIMIT % 1 + "}]}"),
            "'l'",
        ),
    ],
)
def test_a_level_that_matched_is_not_left(first: str, second: str, said: str) -> None:
    """What the next in turn limits, the first does not."""
    (found,) = of_texts(f"domain: d\ndescriptors:\n{first}\n{second}")
    assert (found.rule, found.place.line) == ("no-way-back", 3)
    assert said in found.said


@pytest.mark.parametrize(
    "first",
    [
        "- {key: k, value: a, rate_limit: {unlimited: true}}",
        descriptor("k", "a", 1, "{key: l, " + LIMIT % 3 + "}"),
        descriptor("k", "a", 1, "{key: 'l*', " + LIMIT % 3 + "}"),
    ],
)
def test_a_level_that_limits_as_much(first: str) -> None:
    """Or says that it does not mean to."""
    assert of_level(first, descriptor("k", "", 2, "{key: l, " + LIMIT % 2 + "}")) == []


def test_an_exemption_is_told_by_its_own_rule() -> None:
    """A value without a limit, before a key that has one."""
    assert [rule for rule, *_ in of_level("- {key: k, value: a}", descriptor("k"))] == ["no-limit"]


def test_a_value_that_means_what_its_key_means() -> None:
    """The same limit, counted the same way."""
    same = [descriptor("k", "a", 5), descriptor("k", "", 5)]
    assert of_level(*same) == [("redundant-value", 3, "descriptors[0]")]
    (found,) = of_texts("\n".join(["domain: d", "descriptors:", same[0], same[1][:-1] + ", value_to_metric: true}"]))
    assert "but for" not in found.said
    shared = descriptor("k", "a*", 5)[:-1] + ", share_threshold: true}"
    assert of_level(shared, descriptor("k", "", 5)) == []


def test_a_domain_without_a_limit() -> None:
    """Nothing of it is limited."""
    assert named(of_texts("domain: d"))[0][:2] == ("empty-domain", 1)


words = st.text("ab*_", min_size=1, max_size=4)
values = st.one_of(st.just(""), words)
leaves = st.tuples(words, values, st.booleans()).map(lambda each: (*each, ()))
nodes = st.tuples(words, values, st.booleans(), st.lists(leaves, max_size=3))
trees = st.lists(nodes, min_size=1, max_size=6)
entries = st.tuples(st.text("ab_", min_size=1, max_size=3), st.text("ab_*", max_size=3))


def written(siblings: Sequence[Any], indent: str = "") -> str:
    """The tree as YAML, each composite once."""
    seen, lines = set(), []
    for key, value, has_limit, below in siblings:
        composite = f"{key}_{value}" if value else key
        if composite in seen:
            continue
        seen.add(composite)
        lines.append(f"{indent}- key: '{key}'\n{indent}  value: '{value}'\n")
        if has_limit:
            lines.append(f"{indent}  {LIMIT % len(seen)}\n")
        if below:
            lines.append(f"{indent}  descriptors:\n{written(below, indent + '  ')}")
    return "".join(lines)


@settings(max_examples=40)
@given(trees, st.lists(st.lists(entries, min_size=1, max_size=2), min_size=20, max_size=40))
def test_never_is_true(tree: list[Any], requests: list[Any]) -> None:
    """No request reaches what is said to be never reached, but by its own text, as it stands."""
    files = files_of(f"domain: d\ndescriptors:\n{written(tree)}")
    config = load_config(files)
    never = {each.place for each in of_files(files) if each.rule == "never-matches"}
    for request in requests:
        for level in walk(config.domains["d"], Descriptor(tuple(request)).entries):
            own = level.node and level.node.composite in {level.key, f"{level.key}_{level.value}"}
            assert level.node is None or own or level.node.place not in never


@pytest.mark.parametrize(("requests", "options", "found"), [
    (100, "expected_envoys: 10", True), (200, "expected_envoys: 10", False), (100, "minimum_share: 0.5", False),
    (1, "exact: true", False),
])  # fmt: skip
def test_a_limit_may_be_too_small_to_divide(requests: int, options: str, found: bool) -> None:
    """For the Envoys that are expected; where none are said, or nothing is divided, nothing is presumed."""
    limit = f"rate_limit: {{unit: second, requests_per_unit: {requests}}}"
    rules = of_level(f"- {{key: k, {limit}, quota_assignment: {{{options}}}}}")
    assert rules == ([("too-small-to-divide", 3, "descriptors[0]")] if found else [])
