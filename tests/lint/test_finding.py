from ratelimit.descriptors.specification import Place
from ratelimit.errors import ConfigError
from ratelimit.lint.finding import Finding, at, listed, of_error, quoted
from ratelimit.lint.rules import Level


def test_a_finding_is_one_line() -> None:
    """Where, what, and what to write instead."""
    finding = Finding("zero-requests", Place("a.yaml", 3, "descriptors[0]"), "wrong", "write 1")
    assert finding.text == "a.yaml:3: descriptors[0]: wrong; write 1"
    assert finding.level is Level.WARNING
    assert Finding("zero-requests", Place("a.yaml"), "x" * 5000).text.count("x") < 500


def test_an_error_keeps_its_place() -> None:
    """What does not load is told as it always was."""
    error = ConfigError("broken", file="a.yaml", line=2, key_path="k")
    assert of_error(error).text == str(error)


def test_texts_of_a_file_are_shown_short() -> None:
    """Quoted, printable, and the first few of many."""
    assert quoted("a\nb") == r"'a\nb'"
    assert len(quoted("x" * 1000)) < 50
    assert listed(list("abcdefg")) == "'a', 'b', 'c', 'd', 'e' and 2 more"
    assert listed(["a"]) == "'a'"


def test_a_place_inside_of_a_message() -> None:
    """With its line, where it is known."""
    assert at(Place("a.yaml", 7, "k")) == "a.yaml:7"
    assert at(Place("a.yaml")) == "a.yaml"
