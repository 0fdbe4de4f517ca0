from pathlib import Path

import pytest
from hypothesis import given, settings

from ratelimit.descriptors.limit import Unit
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.quota_assignment import DEFAULT, QuotaAssignment
from ratelimit.descriptors.request import Descriptor
from ratelimit.descriptors.yaml_composer import LoadLimits
from ratelimit.errors import ConfigError
from tests.descriptors.texts import contents

BAD = Path(__file__).parent / "bad"
ROOT = Path(__file__).parents[2]
BAD_FILES = sorted(BAD.glob("*.yaml"))


def outcome(file: ConfigFile, *, strict: bool = True) -> str:
    """The limits as /rlconfig shows them, or the error."""
    try:
        return load_config([file], strict=strict).dump()
    except ConfigError as error:
        return str(error)


@pytest.mark.parametrize("path", BAD_FILES, ids=lambda path: path.stem)
def test_each_bad_file_has_its_error(path: Path) -> None:
    """The first line of each file is the error it gives, with line and key path."""
    expected = path.read_text().splitlines()[0].removeprefix("# ")
    with pytest.raises(ConfigError) as caught:
        load_config([ConfigFile(path.name, path.read_bytes())])
    assert str(caught.value) == expected


def test_there_is_a_bad_file_for_each_kind() -> None:
    """The collection is not empty by accident."""
    assert len(BAD_FILES) >= 20


@pytest.mark.parametrize("name", ["catalog.yaml", "example.yaml"])
def test_the_shipped_files_load(name: str) -> None:
    """What we ship is right, without a warning."""
    loaded = load_config([ConfigFile(name, (ROOT / "config" / name).read_bytes())])
    assert loaded.domains
    assert not loaded.warnings


def test_two_files_of_one_domain_need_merging() -> None:
    """Refused by default, naming both files; merged when told to, unless a descriptor comes twice."""
    one = ConfigFile("a.yaml", b"domain: d\ndescriptors: [{key: x, rate_limit: {unit: day, requests_per_unit: 1}}]")
    two = ConfigFile("b.yaml", b"domain: d\ndescriptors: [{key: y, rate_limit: {unit: day, requests_per_unit: 1}}]")
    with pytest.raises(ConfigError, match=r"b.yaml:1: domain: duplicate domain 'd' .* first in a.yaml"):
        load_config([one, two])
    merged = load_config([one, two], merge_domains=True)
    assert len(merged.dump().splitlines()) == 2
    with pytest.raises(ConfigError, match="duplicate descriptor composite key"):
        load_config([one, ConfigFile("c.yaml", one.text)], merge_domains=True)


def test_leniency_is_the_references() -> None:
    """CONFIG_STRICT=false: the last of repeated keys wins; misplaced keys and later documents are ignored, and told."""
    limit = b"- {key: a, unit: day, rate_limit: {unit: DAY, requests_per_unit: 1}}"
    text = b"domain: x\ndomain: d\ndescriptors:\n" + limit + b"\n---\n- 1"
    loaded = load_config([ConfigFile("f.yaml", text)], strict=False)
    assert list(loaded.domains) == ["d"]
    assert len(loaded.warnings) == 3
    with pytest.raises(ConfigError):
        load_config([ConfigFile("f.yaml", text)])


def test_all_parts_of_a_limit_are_read() -> None:
    """Flags of the descriptor and keys of rate_limit become one Limit."""
    text = b"""
domain: d
descriptors:
  - key: k
    shadow_mode: yes
    quota_mode: true
    metadata: {a: 1}
    rate_limit: {unit: WEEK, requests_per_unit: 0x10, name: me, replaces: [{name: you}]}
"""
    match = load_config([ConfigFile("f.yaml", text)]).match("d", Descriptor((("k", "v"),)))
    assert match is not None
    limit = match.limit
    assert (limit.requests_per_unit, limit.unit, limit.name) == (16, Unit.WEEK, "me")
    assert limit.replaces == {"you"}
    assert (limit.shadow_mode, limit.quota_mode, limit.metadata) == (True, True, {"a": 1})


def test_how_a_limit_is_divided_is_read() -> None:
    """Every option of quota_assignment; without it, and where it is empty, the defaults."""
    limit = "rate_limit: {unit: second, requests_per_unit: 100}"
    said = "{minimum_share: .1, expected_envoys: 0x10, weights: {edge: 2, 'no': 0.5}}"
    text = f"domain: d\ndescriptors:\n- {{key: a, {limit}, quota_assignment: {said}}}\n- {{key: b, {limit}}}\n"
    text += f"- {{key: c, {limit}, quota_assignment: {{exact: yes}}}}\n- {{key: e, {limit}, quota_assignment: ~}}\n"
    nodes = load_config([ConfigFile("f.yaml", text.encode())]).domains["d"].children
    found = {key: node.limit.quota_assignment for key, node in nodes.items() if node.limit is not None}
    assert found["a"] == QuotaAssignment(0.1, 16, weights={"edge": 2.0, "no": 0.5})
    assert found["b"] == found["e"] == DEFAULT
    assert found["c"] == QuotaAssignment(exact=True)


@settings(max_examples=200, deadline=None)
@given(contents)
def test_no_text_does_more_than_fail(text: bytes) -> None:
    """Whatever stands in whatever place of a file, it loads or gives a ConfigError that a log can take."""
    file = ConfigFile("f.yaml", text)
    for strict in (True, False):
        told = outcome(file, strict=strict)
        assert len(told.encode()) < 2000 or not told.startswith("f.yaml")


def test_nested_merge_keys_cost_no_more_than_the_budget() -> None:
    """857 bytes whose merge keys unfold to millions of visits are refused at the budget, wherever they stand."""
    layers = "".join(f"    l{n}: &l{n} {{<<: [{', '.join([f'*l{n - 1}'] * 16)}]}}\n" for n in range(1, 8))
    text = f"domain: d\ndescriptors:\n- key: k\n  metadata:\n    l0: &l0 {{}}\n{layers}#".ljust(857, "#")
    assert len(text) == 857
    with pytest.raises(ConfigError, match=r"^f.yaml:\d+: .*more than 500000 nodes, .* merge keys filled in"):
        load_config([ConfigFile("f.yaml", text.encode())])


@pytest.mark.parametrize(("depth", "depth_max"), [(40, 64), (400, 10_000)])
def test_nesting_ends_in_an_error(depth: int, depth_max: int) -> None:
    """Beyond the cap, and where an operator has raised it beyond what the process can follow."""
    nested = "descriptors: [{key: k, " * depth + "value: v" + "}]" * depth
    with pytest.raises(ConfigError, match="nest"):
        load_config([ConfigFile("f.yaml", f"domain: d\n{nested}".encode())], limits=LoadLimits(depth_max=depth_max))


def test_aliases_cannot_multiply_a_long_text() -> None:
    """A thousand aliases of a megabyte are refused before anybody holds a gigabyte."""
    aliases = "".join(f"  - {{key: k{n}, value: *v}}\n" for n in range(100))
    text = f"domain: d\ndescriptors:\n  - {{key: k, value: &v {'x' * 1_000_000}}}\n{aliases}"
    with pytest.raises(ConfigError, match="more than 16777216 characters"):
        load_config([ConfigFile("f.yaml", text.encode())])


def test_limits_are_counted() -> None:
    """However deep they stand; a descriptor without one is none."""
    text = b"domain: d\ndescriptors: [{key: a, descriptors: [{key: b, rate_limit: {unlimited: true}}, {key: c}]}]"
    assert load_config([ConfigFile("f.yaml", text)]).limits == 1


def test_files_of_a_domain_agree_about_all_or_nothing() -> None:
    """Merged files must say the same, or which of them was read first would decide."""
    one = ConfigFile("a", b"domain: d\nall_or_nothing: true\ndescriptors: []")
    other = ConfigFile("b", b"domain: d\ndescriptors: []")
    assert load_config([one]).domains["d"].all_or_nothing
    with pytest.raises(ConfigError, match="all_or_nothing of domain 'd' is another than in a"):
        load_config([one, other], merge_domains=True)
