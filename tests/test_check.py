import io
import os
from pathlib import Path

import pytest

from ratelimit.check import check
from ratelimit.settings import ConfigSettings


def run(directory: Path, **settings: object) -> tuple[int, str]:
    """The exit code and what was said."""
    out = io.StringIO()
    return check(directory, ConfigSettings.model_validate(settings), out), out.getvalue()


def test_a_good_directory(tmp_path: Path) -> None:
    """A line per domain with the number of its limits; dot files do not count."""
    (tmp_path / "a.yaml").write_text(
        "domain: d\ndescriptors: [{key: k, rate_limit: {unit: day, requests_per_unit: 1}}]"
    )
    (tmp_path / ".hidden").write_text("no: [")
    assert run(tmp_path) == (0, "d: 1 limits\n")


def test_the_first_mistake_is_named(tmp_path: Path) -> None:
    """file:line: key path: what is wrong."""
    (tmp_path / "a.yaml").write_text("domain: d\ndescriptors:\n  - key: k\n    rate_limit: {unit: fortnight}\n")
    code, text = run(tmp_path)
    assert code == 1
    assert text.startswith("a.yaml:4: descriptors[0].rate_limit.unit: invalid rate limit unit 'fortnight'")


@pytest.mark.parametrize(("name", "reason"), [("", "no file there"), ("missing", "does not exist")])
def test_nothing_to_check_is_a_mistake(tmp_path: Path, name: str, reason: str) -> None:
    """An empty or missing directory is hardly what was meant."""
    code, text = run(tmp_path / name)
    assert code == 1
    assert reason in text


def test_leniency_warns(tmp_path: Path) -> None:
    """What the lenient mode lets pass is shown."""
    (tmp_path / "a.yaml").write_text("domain: c\ndomain: d\n")
    code, text = run(tmp_path, config_strict=False)
    assert code == 0
    assert text.startswith("warning: a.yaml:2: domain: the key 'domain' is given twice")


def test_names_that_are_not_text_are_shown_escaped(tmp_path: Path) -> None:
    """Of files, directories and domains: nothing that a terminal cannot show, or would act upon."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    assert run(folder) == (1, f"{tmp_path}/\\xff: no file there\n")
    file = Path(os.fsdecode(os.fsencode(folder) + b"/\xfe\n"))
    file.write_text('domain: "a\\nb"')
    assert run(folder) == (0, "a\\nb: 0 limits\n")
    file.write_text("domain: 1.5")
    assert run(folder)[1].startswith("\\xfe\\n:1: domain: 1.5 is a number")
