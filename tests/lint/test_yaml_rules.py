import pytest

from tests.lint.findings import named, of_texts

LIMIT = "rate_limit: {unit: day, requests_per_unit: 5}"


@pytest.mark.parametrize("text", ["010", "0x10", "1_000", "1:30", "yes", "True", "n", "2020-01-01", "<<", "="])
def test_a_value_that_yaml_changes(text: str) -> None:
    """The service keeps it as written; who writes the file again does not."""
    (found,) = of_texts(f"domain: d\ndescriptors:\n  - key: k\n    value: {text}\n    {LIMIT}")
    assert named([found]) == [("yaml-value", 4, "value")]
    assert found.cure == f'write "{text}" in quotes'


@pytest.mark.parametrize("text", ["'010'", "10", "gold", "true", "10.0.0.1", "/a", "!!str 010", "v1.2"])
def test_a_value_that_stays(text: str) -> None:
    """Quoted, tagged, or the same when written again."""
    assert of_texts(f"domain: d\ndescriptors: [{{key: k, value: {text}, {LIMIT}}}]") == []


def test_every_text_is_looked_at() -> None:
    """Domains, keys, names of limits, values below."""
    text = f"domain: on\ndescriptors:\n- key: 0b1\n  descriptors: [{{key: k, value: 0o7, {LIMIT}}}]\n"
    text += "- key: l\n  rate_limit:\n    name: 1_0\n    unit: day\n    requests_per_unit: 1"
    found = [("yaml-value", line, name) for line, name in ((1, "domain"), (3, "key"), (4, "value"), (7, "name"))]
    assert named(of_texts(text)) == found


@pytest.mark.parametrize("text", ["''", "~", "null", ""])
def test_an_empty_value_is_none(text: str) -> None:
    """Whatever way it is written, all values match."""
    found = of_texts(f"domain: d\ndescriptors:\n- key: k\n  value: {text}\n  {LIMIT}")
    assert named(found) == [("empty-value", 4, "value")]


def test_white_space_at_an_end() -> None:
    """Envoy sends header values without."""
    found = of_texts(f"domain: d\ndescriptors: [{{key: k, value: 'gold ', {LIMIT}}}]")
    assert [(each.rule, each.cure) for each in found] == [("value-space", "write 'gold'")]


def test_octal_numbers() -> None:
    """010 requests are 8; other bases say what they are."""
    text = "domain: d\ndescriptors: [{key: k, rate_limit: {unit: day, requests_per_unit: 010, unit_multiplier: 0x2}}]"
    (found,) = of_texts(text)
    assert (found.rule, found.said, found.cure) == ("yaml-number", "010 is octal, the number 8", "write 8")
