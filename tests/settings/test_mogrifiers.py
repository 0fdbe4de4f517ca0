import pytest

from ratelimit.errors import SettingsError
from ratelimit.settings import load_settings
from ratelimit.settings.mogrifiers import read_mogrifiers

A = {"DOG_STATSD_MOGRIFIER_A_PATTERN": r"^x\.(.*)$", "DOG_STATSD_MOGRIFIER_A_NAME": "$1"}


def test_mogrifiers_are_read_in_their_order() -> None:
    """The name in upper case, whatever it is in USE_DOG_STATSD_MOGRIFIERS."""
    b = {f"DOG_STATSD_MOGRIFIER_B_{part}": text for part, text in (("PATTERN", "y"), ("NAME", "z"), ("TAGS", "t:$0"))}
    found, problems = read_mogrifiers(("b", "A"), {**A, **b})
    assert problems == []
    assert [(each.name, dict(each.tags)) for each in found] == [("z", {"t": "$0"}), ("$1", {})]
    assert found[1].pattern.search("x.name")


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"PATTERN": ""}, {"PATTERN"}),
        ({"PATTERN": "("}, {"PATTERN"}),
        ({"NAME": ""}, {"NAME"}),
        ({"TAGS": "a"}, {"TAGS"}),
        ({"TAGS": "a:"}, {"TAGS"}),
        ({"PATTERN": "[", "NAME": "", "TAGS": ":b"}, {"PATTERN", "NAME", "TAGS"}),
    ],
)
def test_all_that_is_wrong_is_named(changed: dict[str, str], wrong: set[str]) -> None:
    """Each variable once."""
    environ = {**A, **{f"DOG_STATSD_MOGRIFIER_A_{part}": text for part, text in changed.items()}}
    found, problems = read_mogrifiers(("A",), environ)
    assert found == ()
    assert {name.removeprefix("DOG_STATSD_MOGRIFIER_A_") for name, _ in problems} == wrong


def test_they_are_looked_at_only_where_they_are_used() -> None:
    """With DogStatsD on, they come into the one list of what is wrong."""
    assert load_settings({"USE_DOG_STATSD_MOGRIFIERS": "A"}).mogrifiers == ()
    with pytest.raises(SettingsError) as caught:
        load_settings({"USE_DOG_STATSD_MOGRIFIERS": "A", "USE_DOG_STATSD": "true", "PORT": "x"})
    assert {"PORT", "DOG_STATSD_MOGRIFIER_A_NAME"} <= {name for name, _ in caught.value.problems}
