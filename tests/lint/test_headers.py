import pytest

from ratelimit.lint.headers import holds, name_of, named_values, names_values
from tests.lint.test_items import item


@pytest.mark.parametrize(
    ("matcher", "matching", "other"),
    [
        ("string_match: {exact: gold}", ["gold"], ["Gold", "", None]),
        ("string_match: {exact: gold, ignore_case: true}", ["GOLD"], ["golden", None]),
        ("string_match: {prefix: go}", ["gold"], ["a gold"]),
        ("stringMatch: {suffix: ld}", ["gold"], ["golds"]),
        ("string_match: {contains: ol}", ["gold"], ["lo"]),
        ("string_match: {safe_regex: {regex: 'gold|silver'}}", ["gold", "silver"], ["gold|silver", "g", None]),
        ("string_match: {safe_regex: {regex: '^(gold|silver)$'}}", ["silver"], ["other"]),
        ("string_match: {safe_regex: {regex: '.*'}}", ["gold", ""], [None]),
        ("string_match: {safe_regex: {regex: '.+'}}", ["gold"], ["", None]),
        ("exact_match: gold, invert_match: true", ["x", ""], ["gold", None]),
        ("exact_match: '', treat_missing_header_as_empty: true", ["", None], ["x"]),
        ("prefix_match: a", ["ab"], ["b"]),
        ("range_match: {start: 1, end: 5}", ["1", "4"], ["5", "x", None]),
        ("present_match: true", ["", "x"], [None]),
        ("present_match: false", [None], ["x"]),
        ("present_match: true, invert_match: true", [None], ["x"]),
        ("invert_match: false", ["x"], [None]),
    ],
)
def test_what_a_matcher_takes(matcher: str, matching: list[str | None], other: list[str | None]) -> None:
    """Values, None for a header that is not there."""
    found = item(f"{{name: X-Tier, {matcher}}}")
    assert name_of(found) == "x-tier"
    assert [holds(found, value) for value in matching] == [True] * len(matching)
    assert [holds(found, value) for value in other] == [False] * len(other)


@pytest.mark.parametrize(
    "matcher",
    ["string_match: {safe_regex: {regex: '[a-z]+'}}", "string_match: {custom: {}}", "range_match: {start: x}"],
)
def test_what_cannot_be_told(matcher: str) -> None:
    """Neither yes nor no."""
    assert holds(item(f"{{name: x, {matcher}}}"), "gold") is None


def test_values_that_are_named() -> None:
    """Whole ones, alternatives, and beginnings."""
    assert named_values(item("{name: x, exact_match: a}")) == ["a"]
    assert named_values(item("{name: x, string_match: {safe_regex: {regex: 'a|b'}}}")) == ["a", "b"]
    assert named_values(item("{name: x, string_match: {safe_regex: {regex: '[ab]'}}}")) == []
    assert named_values(item("{name: x, string_match: {prefix: p}}")) == ["p"]
    assert named_values(item("{name: x, present_match: true}")) == []
    assert names_values(item("{name: x, exact_match: a}"))
    assert not names_values(item("{name: x, present_match: true}"))
