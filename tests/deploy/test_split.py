import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.processes import ROOT
from deploy.multicluster.__main__ import main
from deploy.multicluster.split import shares, split

WEIGHTS = st.lists(st.integers(1, 1000), min_size=1, max_size=6)


@given(limit=st.integers(0, 2**32 - 1), weights=WEIGHTS)
def test_shares_sum_to_the_limit(limit: int, weights: list[int]) -> None:
    """Exactly; each is less than one from its part, and who weighs more gets no less."""
    parts = shares(limit, weights)
    assert sum(parts) == limit
    assert all(
        abs(part * sum(weights) - limit * weight) < sum(weights) for part, weight in zip(parts, weights, strict=True)
    )
    ranked = [part for _, part in sorted(zip(weights, parts, strict=True))]
    assert ranked == sorted(ranked)


@pytest.mark.parametrize(("limit", "weights"), [(1, []), (1, [0, 1]), (1, [-1, 2]), (-1, [1])])
def test_what_cannot_be_divided_is_an_error(limit: int, weights: list[int]) -> None:
    """No weights, a weight of nothing, a limit below nothing."""
    with pytest.raises(ValueError, match="cannot be divided"):
        shares(limit, weights)


def test_only_limits_change() -> None:
    """Comments, order and everything else stay; aliases and other ways to write a number are understood."""
    text = """\
domain: d  # requests_per_unit: 10
descriptors:
  - key: a
    rate_limit: &limit {unit: hour, requests_per_unit: 1_000}  # ours
  - key: b
    rate_limit: *limit
  - key: requests_per_unit
    descriptors: [{key: c, rate_limit: {unlimited: true}}, {key: e, rate_limit: {requests_per_unit: 0x10, unit: day}}]
"""
    texts, nothing = split(text, {"big": 3, "small": 1})
    assert texts["big"] == text.replace("1_000", "750").replace("0x10", "12")
    assert texts["small"] == text.replace("1_000", "250").replace("0x10", "4")
    assert nothing == []


def test_a_limit_too_small_is_named() -> None:
    """A limit below the number of clusters leaves one with nothing; a limit of 0 denies all anyway."""
    text = "a:\n  requests_per_unit: 0\nb:\n  requests_per_unit: 1\n"
    _, nothing = split(text, {"east": 1, "west": 1})
    assert [str(each) for each in nothing] == ["line 4: of 1 nothing is left for west, which denies all"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a:\n  requests_per_unit: ten\n", "line 2"),
        ("requests_per_unit: {}\n", "line 1"),
        ("a: [\n", "no YAML"),
    ],
)
def test_a_broken_configuration_is_an_error_with_its_line(text: str, place: str) -> None:
    """Nothing is written of it."""
    with pytest.raises(ValueError, match=place):
        split(text, {"one": 1})


def test_an_empty_file_is_left_empty() -> None:
    """Nothing is in it to divide."""
    assert split("", {"one": 1}) == ({"one": ""}, [])


def test_the_command_divides_a_file(tmp_path: Path) -> None:
    """A file for each cluster, and on standard error what is too small; the sums are the catalog's limits."""
    catalog = ROOT / "config" / "catalog.yaml"
    command = [sys.executable, "-m", "deploy.multicluster", str(catalog), str(tmp_path), "a=3", "b=2", "c=1"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "of 1 nothing is left for b" in ran.stderr
    found = [yaml.safe_load((tmp_path / f"{name}.yaml").read_text())["descriptors"] for name in "abc"]
    sums = [sum(each["rate_limit"]["requests_per_unit"] for each in tier) for tier in zip(*found, strict=True)]
    assert sums == [1, 3, 5, 10]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["one"], 2, "python -m deploy.multicluster"),
        (["nowhere.yaml", "out", "a=1"], 1, "nowhere.yaml"),
        ([str(ROOT / "config" / "catalog.yaml"), "out", "a:1"], 1, "'a:1' is no CLUSTER=WEIGHT"),
        ([str(ROOT / "config" / "catalog.yaml"), "out", "a=0"], 1, "cannot be divided"),
    ],
)
def test_wrong_arguments_are_told(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    """One line, and the exit code."""
    assert main(arguments) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("changed", "said"), [([], "nothing changed\n"), (["a", "b"], "a\nb\n")])
def test_without_arguments_the_folders_are_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, changed: list[str], said: str
) -> None:
    """And it is told what of them changed."""
    monkeypatch.setattr("deploy.multicluster.__main__.write", lambda made: changed)
    assert main([]) == 0
    assert capsys.readouterr().out == said
