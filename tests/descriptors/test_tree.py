import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.request import Descriptor
from ratelimit.descriptors.tree import Config, Match, Node

LEVELS = b"""
domain: d
descriptors:
  - key: a
    value: exact
    rate_limit: {unit: minute, requests_per_unit: 1}
  - key: a
    value: ex*t
    rate_limit: {unit: minute, requests_per_unit: 2}
  - key: a
    value: e*
    rate_limit: {unit: minute, requests_per_unit: 3}
  - key: a
    rate_limit: {unit: minute, requests_per_unit: 4}
    descriptors:
      - key: b
        rate_limit: {unit: minute, requests_per_unit: 5}
  - key: file
    value: "*.txt"
    share_threshold: true
    rate_limit: {unit: hour, requests_per_unit: 6}
    descriptors:
      - key: who
        rate_limit: {unit: hour, requests_per_unit: 7}
        detailed_metric: true
  - key: plain
    value_to_metric: true
    descriptors:
      - key: deep
        detailed_metric: true
        rate_limit: {unit: day, requests_per_unit: 8}
        metadata: {team: x}
      - key: wide
        value: w*
        rate_limit: {unit: day, requests_per_unit: 9}
      - key: loud
        value: l*
        value_to_metric: true
        rate_limit: {unlimited: true}
"""


@pytest.fixture(scope="module")
def config() -> Config:
    """One domain with every kind of match."""
    return load_config([ConfigFile("levels.yaml", LEVELS)])


def found(config: Config, *entries: tuple[str, str]) -> Match | None:
    """The match of a descriptor in the domain d."""
    return config.match("d", Descriptor(entries))


@pytest.mark.parametrize(
    ("entries", "requests"),
    [
        ((("a", "exact"),), 1),
        ((("a", "exit"),), 2),
        ((("a", "elm"),), 3),
        ((("a", "extt"),), 2),
        ((("a", "other"),), 4),
        ((("a", ""),), 4),
        ((("a", "other"), ("b", "x")), 5),
        ((("a", "exact"), ("b", "x")), None),
        ((("a", "other"), ("b", "x"), ("c", "y")), None),
        ((("b", "x"),), None),
        ((("plain", "x"),), None),
        ((), None),
    ],
)
def test_the_walk(config: Config, entries: tuple[tuple[str, str], ...], requests: int | None) -> None:
    """Exact, then patterns in file order, then the bare key; no backtracking; the depth is equal."""
    match = found(config, *entries)
    assert (match.limit.requests_per_unit if match else None) == requests


@pytest.mark.parametrize(
    ("entries", "stat_key"),
    [
        ((("a", "exact"),), "d.a_exact"),
        ((("a", "elsewhere"),), "d.a_e*"),
        ((("a", "other"),), "d.a"),
        ((("file", "x.txt"),), "d.file_*.txt"),
        ((("file", "x.txt"), ("who", "me")), "d.file_*.txt.who_me"),
        ((("plain", "p"), ("deep", "")), "d.plain_p.deep_"),
        ((("plain", "p"), ("wide", "west")), "d.plain_p.wide_w*"),
        ((("plain", "p"), ("loud", "lo")), "d.plain_p.loud_lo"),
    ],
)
def test_stat_keys_are_the_reference_s(config: Config, entries: tuple[tuple[str, str], ...], stat_key: str) -> None:
    """share_threshold, detailed_metric and value_to_metric decide what stands in the metrics."""
    match = found(config, *entries)
    assert match is not None
    assert match.stat_key == stat_key


def test_share_threshold_shares_the_counter(config: Config) -> None:
    """All values that match count as the pattern; the levels below keep theirs."""
    match = found(config, ("file", "x.txt"), ("who", "me"))
    assert match is not None
    assert match.counter_entries == (("file", "*.txt"), ("who", "me"))


def test_an_override_goes_first(config: Config) -> None:
    """A limit in the descriptor ignores the configuration, but the domain must exist."""
    descriptor = Descriptor((("any", "thing"), ("k", "")), Limit(42, Unit.HOUR))
    match = config.match("d", descriptor)
    assert match is not None
    assert (match.limit.requests_per_unit, match.stat_key) == (42, "d.any_thing.k")
    assert config.match("unknown", descriptor) is None


def test_metadata_is_kept_with_a_detailed_metric(config: Config) -> None:
    """The reference loses it there."""
    match = found(config, ("plain", "p"), ("deep", "x"))
    assert match is not None
    assert match.limit.metadata == {"team": "x"}


def test_dump_has_a_line_for_each_limit(config: Config) -> None:
    """In file order, as /rlconfig shows."""
    lines = config.dump().splitlines()
    assert len(lines) == 10
    assert lines[0] == "d.a_exact: unit=MINUTE requests_per_unit=1, shadow_mode: false, quota_mode: false"
    assert lines[-1] == "d.plain.loud_l*: unlimited, shadow_mode: false, quota_mode: false"


@given(st.text("ab*", max_size=5), st.text("ab", max_size=6))
def test_patterns_match_as_a_regular_expression(pattern: str, value: str) -> None:
    """`*` stands for any text, and what is around it does not overlap."""
    root = Node("d")
    root.add(Node(f"k_{pattern}*", Limit(1, Unit.DAY)))
    expected = re.fullmatch(re.escape(f"{pattern}*").replace(r"\*", ".*"), value) is not None
    matched = Config({"d": root}).match("d", Descriptor((("k", value),))) is not None
    assert matched == expected
