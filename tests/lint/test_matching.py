import pytest

from ratelimit.descriptors.specification import Place
from ratelimit.lint.actions import Entry
from ratelimit.lint.matching import limits_reached, unlimited_value
from tests.lint.meshes import config_of

LIMIT = "rate_limit: {unit: day, requests_per_unit: 1}"
ROOT = config_of(f"""domain: d
descriptors:
- {{key: a, value: x, {LIMIT}}}
- {{key: a, value: y*, {LIMIT}}}
- {{key: 'b*', {LIMIT}}}
- key: c
  descriptors: [{{key: d, {LIMIT}}}]
- key: c
  value: only
  descriptors: [{{key: d, value: 1, {LIMIT}}}, {{key: e, {LIMIT}}}]
""").domains["d"]


def entries(*pairs: tuple[str | None, str | None]) -> list[Entry]:
    """Entries whose values callers choose."""
    return [Entry(key, value, Place(), free=True) for key, value in pairs]


@pytest.mark.parametrize(
    ("descriptor", "lines"),
    [
        ([("a", "x")], [3]),
        ([("a", "z")], []),
        ([("a", None)], [3, 4]),
        ([("b", None)], [5]),
        ([("bulk", "1")], [5]),
        ([("x", None)], []),
        ([("c", None)], []),
        ([("c", None), ("d", "2")], [7]),
        ([("c", None), ("d", "1")], [7, 10]),
        ([("c", "only"), ("e", "2")], [10]),
        ([(None, None), ("e", None)], [10]),
        ([(None, None)], [3, 4, 5]),
    ],
)
def test_limits_that_can_be_reached(descriptor: list[tuple[str | None, str | None]], lines: list[int]) -> None:
    """Of a value that is not known, every one that it may reach; nothing that is none."""
    assert [node.line for node in limits_reached(ROOT, entries(*descriptor))] == lines


@pytest.mark.parametrize(
    ("descriptor", "key"),
    [
        ([("a", None)], "a"),
        ([("a", "x")], None),
        ([("b", None)], None),
        ([("x", None)], None),
        ([("c", "only"), ("d", None)], "d"),
        ([("c", "other"), ("d", None)], None),
    ],
)
def test_values_without_a_limit(descriptor: list[tuple[str | None, str | None]], key: str | None) -> None:
    """Where only some values of a key that callers choose have one."""
    found = unlimited_value(ROOT, entries(*descriptor))
    assert (found[0].key if found else None) == key
