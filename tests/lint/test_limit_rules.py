import pytest

from tests.lint.findings import named, of_texts


def limited(fields: str, more: str = "") -> list[tuple[str, int | None, str]]:
    """What is found in a descriptor with these fields of its rate_limit, and more of its own."""
    return named(of_texts(f"domain: d\ndescriptors:\n- key: k\n  rate_limit: {{{fields}}}\n{more}"))


@pytest.mark.parametrize(
    ("fields", "rule", "name"),
    [
        ("unit: day", "requests-missing", "rate_limit"),
        ("unit: day, requests_per_unit: 0", "zero-requests", "requests_per_unit"),
        ("unit: day, requests_per_unit: 4294967295", "largest-limit", "requests_per_unit"),
        ("unlimited: true, requests_per_unit: 5", "unlimited-with-requests", "requests_per_unit"),
        ("unit: second, requests_per_unit: 5, unit_multiplier: 60", "unit-multiplier", "unit_multiplier"),
        ("unit: DAY, requests_per_unit: 5, unit_multiplier: 14", "unit-multiplier", "unit_multiplier"),
        ("unit: day, requests_per_unit: 5, replaces: [{name: x}]", "replaces-nothing", "rate_limit"),
    ],
)
def test_a_limit_that_is_hardly_meant(fields: str, rule: str, name: str) -> None:
    """Each with its rule, at the field."""
    ((found, line, place),) = limited(fields)
    assert (found, line) == (rule, 4)
    assert place.startswith(name) or rule == "replaces-nothing"


@pytest.mark.parametrize("fields", ["unlimited: true", "unit: month, requests_per_unit: 1, unit_multiplier: 12"])
def test_a_limit_that_makes_sense(fields: str) -> None:
    """Nothing is said of it."""
    assert limited(fields) == []


def test_the_cure_of_a_multiplier() -> None:
    """The unit to write, and how many of it."""
    fields = "rate_limit: {unit: hour, requests_per_unit: 1, unit_multiplier: 48}"
    (found,) = of_texts(f"domain: d\ndescriptors: [{{key: k, {fields}}}]")
    assert found.cure == "write unit: day, unit_multiplier: 2"


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("descriptors: [{key: l, rate_limit: *limit}], shadow_mode: true", "no rate_limit beside it"),
        ("descriptors: [{key: l, rate_limit: *limit}], detailed_metric: true", "no rate_limit beside it"),
        ("descriptors: [{key: l, rate_limit: *limit}], metadata: {a: b}", "no rate_limit beside it"),
        ("rate_limit: {unlimited: true}, quota_mode: true", "denies nothing"),
        ("value: a*, rate_limit: {unlimited: true}, share_threshold: true", "counts nothing"),
        ("rate_limit: *limit, detailed_metric: true, value_to_metric: true", "detailed_metric wins"),
        ("value: a, rate_limit: *limit, value_to_metric: true", "part of the metric's name"),
        ("value: a*, rate_limit: *limit, value_to_metric: true, share_threshold: true", "puts the pattern"),
    ],
)
def test_a_flag_without_effect(flags: str, reason: str) -> None:
    """It is named, with the reason."""
    first = "- {key: first, rate_limit: &limit {unit: day, requests_per_unit: 1}}"
    (found,) = of_texts(f"domain: d\ndescriptors:\n{first}\n- {{key: k, {flags}}}")
    assert found.rule == "no-effect"
    assert reason in found.said


def test_a_descriptor_that_says_nothing() -> None:
    """It exempts what it takes, and should say so."""
    text = "domain: d\ndescriptors: [{key: k}, {key: l, rate_limit: {unlimited: true}}]"
    assert named(of_texts(text)) == [("no-limit", 2, "descriptors[0]")]


def test_a_limit_that_is_replaced_may_stand_in_another_file() -> None:
    """Of the same domain; one that is unlimited cannot be replaced."""
    replacing = "descriptors: [{key: a, rate_limit: {unit: day, requests_per_unit: 1, replaces: [{name: one}]}}]"
    named_one = "descriptors: [{key: b, rate_limit: {name: one, %s}}]"
    counted, free = named_one % "unit: day, requests_per_unit: 1", named_one % "unlimited: true"
    assert of_texts(f"domain: d\n{replacing}", f"domain: d\n{counted}", merge=True) == []
    assert [each.rule for each in of_texts(f"domain: d\n{replacing}", f"domain: e\n{counted}")] == ["replaces-nothing"]
    found = of_texts(f"domain: d\n{replacing}", f"domain: d\n{free}", merge=True)
    assert [each.rule for each in found] == ["replaces-nothing"]
