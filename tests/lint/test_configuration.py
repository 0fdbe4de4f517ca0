from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.yaml_reader import YamlFile
from ratelimit.errors import ConfigError
from ratelimit.lint.configuration import configuration_findings
from ratelimit.lint.formats import as_json, as_sarif, github_lines, text_lines
from tests.descriptors.texts import contents
from tests.lint.findings import of_files, of_texts

ROOT = Path(__file__).parents[2]


def test_our_own_configurations_have_no_findings() -> None:
    """What is shipped is what is meant."""
    files = [ConfigFile(path.name, path.read_bytes()) for path in sorted((ROOT / "config").iterdir())]
    assert of_files(files) == []


def test_findings_stand_in_the_order_of_the_files() -> None:
    """By file and line, whichever rule they are of."""
    text = "domain: %s\ndescriptors:\n- {key: k, value: yes, rate_limit: {unit: day}}\n- {key: l}"
    found = of_texts(text % "a", text % "b")
    assert [(each.place.file, each.place.line) for each in found] == [
        (f"{name}.yaml", line) for name in "ab" for line in (3, 3, 4)
    ]


def test_what_the_lenient_mode_lets_pass() -> None:
    """It has its place, and the end of too many has none."""
    found = of_texts("domain: c\ndomain: d\n", strict=False)
    assert [(each.rule, each.place.line) for each in found] == [("lenient", 2), ("empty-domain", 2)]
    repeated = "domain: c\n" * 200
    assert of_texts(repeated, strict=False)[0].said.endswith("the others are not told")


@settings(max_examples=50)
@given(st.lists(contents, min_size=1, max_size=2), st.booleans())
def test_no_file_raises(texts: list[bytes], strict: bool) -> None:
    """What loads has findings, and every format can tell them."""
    files = [ConfigFile(f"{index}.yaml", text) for index, text in enumerate(texts)]
    read: list[YamlFile] = []
    try:
        config = load_config(files, strict=strict, read=read)
    except ConfigError:
        return
    found = configuration_findings(read, config)
    lines = [*text_lines(found), *github_lines(found, {})]
    assert all(line.isprintable() for line in lines)
    assert as_json(found, {}).encode()
    assert as_sarif(found, {}, "1").encode()
