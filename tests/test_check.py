import io
import os
from pathlib import Path

import pytest

from ratelimit.check import Checking, check, read_config
from ratelimit.settings import ConfigSettings

LIMIT = "{unit: day, requests_per_unit: %d}"


def run(*paths: Path, **settings: object) -> tuple[int, str]:
    """The exit code and what was said."""
    return told(Checking(paths), **settings)


def told(checking: Checking, **settings: object) -> tuple[int, str]:
    """Likewise, for other ways to tell it."""
    out = io.StringIO()
    return check(checking, ConfigSettings.model_validate(settings), out), out.getvalue()


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
    assert run(folder)[1].endswith("a\\nb: 0 limits\n")
    file.write_text("domain: 1.5")
    assert run(folder)[1].startswith("\\xfe\\n:1: domain: 1.5 is a number")


def test_what_is_hardly_meant_is_warned_of(tmp_path: Path) -> None:
    """With exit code 0, unless warnings are to fail; a rule can be left out."""
    (tmp_path / "a.yaml").write_text(f"domain: d\ndescriptors:\n- key: k\n  rate_limit: {LIMIT % 0}\n")
    code, text = run(tmp_path)
    assert code == 0
    assert text == (
        "warning: a.yaml:4: descriptors[0].rate_limit.requests_per_unit: 0 requests: every request is denied; "
        "write `unlimited: true` if no limit is meant [zero-requests]\nd: 1 limits\n"
    )
    assert told(Checking([tmp_path], fail_on="warning"))[0] == 1
    ignored = Checking([tmp_path], fail_on="warning", ignored=frozenset({"zero-requests"}))
    assert told(ignored) == (0, "d: 1 limits\n")


def test_several_paths_are_one_configuration(tmp_path: Path) -> None:
    """Files and directories, each named by its path; a domain stands in one of them."""
    folder, file = tmp_path / "folder", tmp_path / "b.yaml"
    folder.mkdir()
    (folder / "a.yaml").write_text(f"domain: d\ndescriptors: [{{key: k, rate_limit: {LIMIT % 1}}}]")
    file.write_text(f"domain: e\ndescriptors: [{{key: k, rate_limit: {LIMIT % 1}}}]")
    assert run(folder, file) == (0, "d: 1 limits\ne: 1 limits\n")
    assert run(file) == (0, "e: 1 limits\n")
    file.write_text("domain: d")
    code, text = run(folder, file)
    assert code == 1
    assert text == f"{file}:1: domain: duplicate domain 'd' in config file, first in {folder / 'a.yaml'}\n"


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error with its name."""
    file = tmp_path / "a.yaml"
    file.touch()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert run(file) == (1, f"{file}: cannot be read: Permission denied\n")


@pytest.mark.parametrize(
    ("shape", "beginning"),
    [("json", '{\n  "findings": ['), ("sarif", '{\n  "$schema"'), ("github", "::error file={file},line=1,")],
)
def test_other_ways_to_tell_it(tmp_path: Path, shape: str, beginning: str) -> None:
    """For programs: files by their path, and nothing beside the findings."""
    (tmp_path / "a.yaml").write_text("domain: ''")
    code, text = told(Checking([tmp_path], shape=shape))
    assert code == 1
    assert text.startswith(beginning.format(file=tmp_path / "a.yaml") if shape == "github" else beginning)
    assert str(tmp_path / "a.yaml") in text


def test_a_configuration_for_other_commands(tmp_path: Path) -> None:
    """As `check` reads it."""
    (tmp_path / "a.yaml").write_text("domain: d")
    assert list(read_config(tmp_path, ConfigSettings()).domains) == ["d"]


def test_envoy_files_are_held_against_it(tmp_path: Path) -> None:
    """Files and directories, YAML and JSON; a folder below is a variant, and what is not there is an error."""
    config, envoy = tmp_path / "config", tmp_path / "envoy"
    for folder in (config, envoy / "variant"):
        folder.mkdir(parents=True)
    (config / "a.yaml").write_text(f"domain: d\ndescriptors: [{{key: header_match, rate_limit: {LIMIT % 1}}}]")
    named = "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit"
    (envoy / "variant" / "e.json").write_text(f'{{"a": {{"@type": "{named}", "domain": "e"}}}}')
    (envoy / "notes.txt").write_text("a: [")
    code, text = told(Checking([config], envoy=[envoy], ignored=frozenset({"domain-unasked"})))
    assert code == 1
    assert f"error: {envoy / 'variant' / 'e.json'}:1: a.domain: the domain 'e' is not configured" in text
    assert told(Checking([config], envoy=[envoy / "notes.txt"]))[1].startswith(
        f"error: {envoy / 'notes.txt'}:2: not YAML"
    )
    code, text = told(Checking([config], envoy=[tmp_path / "none"]))
    assert (code, "the directory does not exist [not-readable]" in text) == (1, True)


def test_envoy_files_are_checked_beside_a_configuration_that_does_not_load(tmp_path: Path) -> None:
    """With what they show by themselves."""
    config, envoy = tmp_path / "a.yaml", tmp_path / "e.yaml"
    config.write_text("domain: ''")
    envoy.write_text("http_filters: [{name: envoy.filters.http.router}]")
    code, text = told(Checking([config], envoy=[envoy]))
    assert code == 1
    assert [line.rpartition(" ")[2] for line in text.splitlines()] == ["domain", "[refused-form]"]
