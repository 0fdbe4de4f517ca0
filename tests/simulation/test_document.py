import re
import shlex
from pathlib import Path

import pytest

from loadtest.access_log import Traffic, write_json
from ratelimit.__main__ import main

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "simulate.md").read_text()
EXAMPLES = re.findall(r"```console\n\$ ratelimit (.*)\n((?:.*\n)*?)```", DOCUMENT)


@pytest.mark.parametrize("place", range(len(EXAMPLES)))
def test_the_document_shows_what_is_told(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each example, word for word, from a generated log of the catalog example."""
    write_json(tmp_path / "access.log", Traffic(1_500, per_second=0.25, users=50))
    catalog = (ROOT / "config" / "catalog.yaml").read_text()
    for name in ("config", "after"):
        (tmp_path / name).mkdir()
    (tmp_path / "config" / "catalog.yaml").write_text(catalog)
    raised = catalog.replace("requests_per_unit: 10", "requests_per_unit: 20")
    (tmp_path / "after" / "catalog.yaml").write_text(raised.replace("requests_per_unit: 3", "requests_per_unit: 6"))
    monkeypatch.chdir(tmp_path)
    command, output = EXAMPLES[place]
    assert main(shlex.split(command)) == 0
    assert capsys.readouterr().out == output


def test_there_are_examples() -> None:
    """One configuration, and two."""
    assert ["--against" in command for command, _ in EXAMPLES] == [False, True]
