from pathlib import Path

import pytest

from ratelimit.lint.rules import RULES

ROOT = Path(__file__).parents[2]


def test_a_rule_has_a_name_of_small_letters_and_a_sentence() -> None:
    """So that it can stand in a command, a file and a list."""
    for name, rule in RULES.items():
        assert name == rule.name
        assert name.replace("-", "").isalpha()
        assert name.islower()
        assert rule.finds.endswith(".")


SECTIONS = {
    part.partition("\n")[0]: part
    for part in (ROOT / "docs" / "lint.md").read_text().split("\n## In CI", 1)[1].split("\n### ")[1:]
}


def test_every_rule_is_documented_and_nothing_else() -> None:
    """A section for each, in their order."""
    assert list(SECTIONS) == list(RULES)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_documented_whole(name: str) -> None:
    """Its level, what it finds, why, an example and the cure."""
    lines = [line for line in SECTIONS[name].partition("\n## ")[0].splitlines() if line]
    assert lines[1] == f"*{RULES[name].level.value}.* {RULES[name].finds}"
    assert [line.partition(":")[0] for line in lines[2:]] == ["- Why", "- Example", "- Cure"]


def test_every_rule_is_found_by_some_test() -> None:
    """Its name stands in one beside this."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__))
    tests += (ROOT / "tests" / "test_check.py").read_text()
    assert [name for name in RULES if f'"{name}"' not in tests] == []
