import pytest

from ratelimit.descriptors.specification import Place
from ratelimit.lint.comments import without_excused
from ratelimit.lint.finding import Finding


def rules_left(text: str, *findings: tuple[str, int]) -> list[tuple[str, int | None]]:
    """Rule and line of each finding of a file with that text that is told all the same."""
    given = [Finding(rule, Place("a.yaml", line), "said") for rule, line in findings]
    return [(each.rule, each.place.line) for each in without_excused(given, [("a.yaml", text.encode())])]


@pytest.mark.parametrize(
    "text",
    [
        "key: k # ratelimit: ignore[zero-requests]",
        "key: k #ratelimit:ignore[no-limit,zero-requests] it is meant so",
        "key: '#' # ratelimit: ignore[ zero-requests ]",
    ],
)
def test_a_comment_behind_a_line_excuses_it(text: str) -> None:
    """That line and that rule alone."""
    found = (("zero-requests", 1), ("zero-requests", 2), ("empty-value", 1))
    assert rules_left(f"{text}\nkey: l\n", *found) == [("zero-requests", 2), ("empty-value", 1)]


def test_a_comment_alone_is_about_the_next_line() -> None:
    """Wherever it begins."""
    text = "a: b\n  # ratelimit: ignore[zero-requests]\n  c: d\n"
    assert rules_left(text, ("zero-requests", 2), ("zero-requests", 3)) == [("zero-requests", 2)]


def test_another_file_is_not_excused() -> None:
    """Comments count in their own file."""
    finding = Finding("zero-requests", Place("b.yaml", 1), "said")
    assert list(without_excused([finding], [("a.yaml", b"a: b # ratelimit: ignore[zero-requests]")])) == [finding]


def test_no_error_is_excused() -> None:
    """It would not load all the same."""
    assert rules_left("a: [ # ratelimit: ignore[not-loadable]", ("not-loadable", 1)) == [("not-loadable", 1)]


def test_a_rule_that_is_none_is_named() -> None:
    """A slip would excuse nothing, silently."""
    text = "a: b\nc: d # ratelimit: ignore[zero-request]\n"
    assert rules_left(text, ("zero-requests", 2)) == [("zero-requests", 2), ("unknown-rule", 2)]
