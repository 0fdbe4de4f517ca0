import re
from pathlib import Path

import pytest

from ratelimit.settings import groups, load_settings, variables
from ratelimit.settings.document import ENVIRONMENT, TABLES, documented, environment, go_duration, main, text_of

ROOT = Path(__file__).parents[2]


def test_the_documentation_is_up_to_date() -> None:
    """`make docs` writes it: docs/configuration.md and deploy/settings.env."""
    text = (ROOT / TABLES).read_text()
    assert documented(text) == text
    assert (ROOT / ENVIRONMENT).read_text() == environment()


def test_every_setting_is_documented() -> None:
    """Each group has its table, so each variable has a row."""
    text = (ROOT / TABLES).read_text()
    assert [name for name in variables() if f"| `{name}` |" not in text] == []
    assert [name for name in groups() if f"<!-- settings: {name} -->" not in text] == []


def test_the_shipped_environment_is_the_default() -> None:
    """deploy/settings.env loads, changes nothing and warns of nothing."""
    lines = environment().splitlines()
    environ = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert load_settings(environ) == load_settings({})
    named = re.findall(r"^(?:# )?([A-Z_0-9]+)=", environment(), re.MULTILINE)
    assert named == list(variables())


def test_a_default_reads_back_as_itself() -> None:
    """What is documented is what is in force."""
    for name, group in variables().items():
        field = group.model_fields[name.lower()]
        text = text_of(field, field.default)
        if text is not None:
            assert getattr(group.model_validate({name.lower(): text}), name.lower()) == field.default


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (86400, "24h"),
        (90, "90s"),
        (60, "1m"),
        (0.01, "10ms"),
        (0, "0"),
        (0.00015, "150µs"),
        (1e-9, "1ns"),
        (0.0123456789, "12345679ns"),
    ],
)
def test_a_duration_is_written_as_go_reads_it(seconds: float, text: str) -> None:
    """In the largest unit that holds it whole."""
    assert go_duration(seconds) == text


def test_the_files_of_a_clone_are_written(tmp_path: Path) -> None:
    """The prose stays, the tables are made."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "deploy").mkdir()
    (tmp_path / TABLES).write_text("before\n<!-- settings: log -->\nold\n<!-- end of settings -->\nafter\n")
    assert main(tmp_path) == 0
    text = (tmp_path / TABLES).read_text()
    assert text.startswith("before\n")
    assert "| `LOG_LEVEL` | text | `warn` | theirs |" in text
    assert "old" not in text
    assert (tmp_path / ENVIRONMENT).read_text() == environment()
