from ratelimit.lint.rules import RULES


def test_a_rule_has_a_name_of_small_letters_and_a_sentence() -> None:
    """So that it can stand in a command, a file and a list."""
    for name, rule in RULES.items():
        assert name == rule.name
        assert name.replace("-", "").isalpha()
        assert name.islower()
        assert rule.finds.endswith(".")
