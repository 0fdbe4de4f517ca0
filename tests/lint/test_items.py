import pytest

from ratelimit.descriptors.yaml_composer import LoadLimits
from ratelimit.descriptors.yaml_nodes import Document, read_roots
from ratelimit.lint.items import Item, camel, duration_s, item_of, number, snake


def item(text: str) -> Item:
    """The first document of a text."""
    return item_of(read_roots(Document("f.yaml", LoadLimits(), strict=False), text.encode())[0])


def test_fields_have_two_spellings() -> None:
    """Asked for by the first, found by both, and one after the other."""
    found = item("rateLimits: [1]\nrate_limit_service: {grpcService: {timeout: 1s}}")
    assert [each.text for each in found.get("rate_limits").elements] == ["1"]
    assert found.get("rate_limit_service", "grpc_service", "timeout").text == "1s"
    assert dict(found.named()).keys() == {"rate_limits", "rate_limit_service"}
    assert (camel("a_b_c"), snake("aBC")) == ("aBC", "a_bC")


def test_what_is_not_there_is_nothing() -> None:
    """With the place of what should hold it."""
    found = item("a:\n  b: ~")
    missing = found.get("a", "x", "y")
    assert (missing.given, missing.text, missing.place.line) == (False, "", 2)
    assert not found.get("a", "b").given


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("yes", "true"),
        ("'yes'", "yes"),
        ("False", "false"),
        ("010", "010"),
        (".nan", ".nan"),
        ("x", "x"),
        ("1.5", "1.5"),
    ],
)
def test_texts(text: str, found: str) -> None:
    """As written, but for booleans."""
    assert item(f"a: {text}").get("a").text == found


def test_everything_within() -> None:
    """The item, its fields and elements, at any depth."""
    assert [each.text for each in item("a: [1, {b: 2}]").within()] == ["", "", "1", "", "2"]


def test_numbers_and_durations() -> None:
    """What is none is None."""
    assert [number(item(f"a: {text}").get("a")) for text in ("7", "-1", "x", "٣", "9" * 30)] == [
        7,
        None,
        None,
        None,
        None,
    ]
    assert [duration_s(item(f"a: {text}").get("a")) for text in ("0.25s", ".5s", "5s", "250ms", "x")] == [
        0.25, 0.5, 5.0, None, None,
    ]  # fmt: skip
    assert item("a: true").get("a").is_true
