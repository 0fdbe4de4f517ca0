import pytest

from ratelimit.descriptors.specification import DomainSpecification, Place
from ratelimit.descriptors.yaml_composer import LoadLimits
from ratelimit.descriptors.yaml_nodes import Document
from ratelimit.descriptors.yaml_reader import read_yaml
from ratelimit.errors import ConfigError

FILE = """domain: d
descriptors:
  - key: k
    value: v
    shadow_mode: yes
    rate_limit: {unit: fortnight, requests_per_unit: 0x10, replaces: [{name: one}, {}]}
    descriptors:
      - value: only
"""


def read(text: str) -> DomainSpecification:
    """The specification of one file."""
    return read_yaml(Document("f.yaml", LoadLimits()), text.encode()).specification


def test_reading_judges_only_what_yaml_can_get_wrong() -> None:
    """Rules are for later: an unknown unit, a missing key and an empty name are read as they stand."""
    found = read(FILE)
    first = found.descriptors[0]
    assert (found.domain, first.key, first.value, first.shadow_mode) == ("d", "k", "v", True)
    assert first.rate_limit is not None
    assert (first.rate_limit.unit, first.rate_limit.requests_per_unit) == ("fortnight", 16)
    assert first.rate_limit.replaces == ["one", ""]
    assert first.descriptors[0].key == ""


def test_every_part_knows_its_place() -> None:
    """File, line and key path, down to a single name in a list."""
    first = read(FILE).descriptors[0]
    assert first.rate_limit is not None
    assert first.descriptors[0].place == Place("f.yaml", 8, "descriptors[0].descriptors[0]")
    assert first.rate_limit.place_of("replaces[1]").key_path == "descriptors[0].rate_limit.replaces[1]"


ODD = (
    "!vault x", "!!int x", "!!float x", "!!bool x", "!!null x", "!!binary aGk=", "!!set {a}",
    ".inf", "{<<: 5}", "{<<: [{a: 1}, x]}", "{[a]: 1}", "!!python/tuple [1]",
    "&a [*a]", "&a {<<: *a}", "!foo {a: 1}", "!!omap [a: 1]",
)  # fmt: skip


@pytest.mark.parametrize("text", ODD, ids=lambda text: text[:20])
def test_metadata_that_no_answer_could_hold_has_its_place(text: str) -> None:
    """Every scalar, tag and loop that a YAML reader trips over is an error like every other."""
    with pytest.raises(ConfigError, match=r"^f.yaml:4: descriptors\[0\]\.metadata\.team.*: .+"):
        read(f"domain: d\ndescriptors:\n- key: k\n  metadata: {{team: {text}}}\n")


@pytest.mark.parametrize("text", ["0x_", "9" * 5000, "!vault 1", "!!int x", "1:30"], ids=lambda text: text[:20])
def test_counts_that_are_none_have_their_place(text: str) -> None:
    """Also where the shape is that of a number."""
    with pytest.raises(ConfigError, match=r"^f.yaml:4: descriptors\[0\]\.rate_limit\.requests_per_unit: .+"):
        read(f"domain: d\ndescriptors:\n- key: k\n  rate_limit: {{unit: day, requests_per_unit: {text}}}\n")


@pytest.mark.parametrize("key", ["=", "~", "!vault k", "!!int k", "'a b'", "1.5", "2026-13-01", "x" * 100_000])
def test_keys_that_nobody_knows_have_their_place(key: str) -> None:
    """YAML's own value key too; a key of any length costs nothing."""
    with pytest.raises(ConfigError, match=r"^f.yaml:[23]: .+: (config error, unknown key|the tag|'k' does not fit)"):
        read(f"domain: d\n? {key}\n: 1\n")


def test_on_store_error_stands_beside_the_domain() -> None:
    """It is read as written, with its place; None where the file does not say."""
    said = read("domain: d\non_store_error: allow")
    assert (said.on_store_error, said.place_of("on_store_error").line) == ("allow", 2)
    assert read("domain: d").on_store_error is None
