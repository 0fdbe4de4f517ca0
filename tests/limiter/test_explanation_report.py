import json

import pytest

from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.request import Descriptor, Request
from ratelimit.limiter.counter_key import exact_counter
from ratelimit.limiter.explanation import explain
from ratelimit.limiter.explanation_report import legible, report, text_lines
from ratelimit.limiter.plan import DecisionRules
from ratelimit.limiter.planner import Grouping, Planner
from ratelimit.metrics import LimitStats
from tests.limiter.plans import NOW

TEXT = b"""domain: d
descriptors:
  - key: tier
    value: gold*
    share_threshold: true
    shadow_mode: true
    rate_limit: {unit: minute, requests_per_unit: 5, unit_multiplier: 2, name: small}
  - key: tier
    quota_mode: true
    rate_limit: {unit: month, requests_per_unit: 9, algorithm: gcra, replaces: [{name: small}]}
  - key: tier
    value: free
    rate_limit: {unlimited: true}
  - key: path
    value: /a
    descriptors:
      - {key: ip, rate_limit: {unit: day, requests_per_unit: 1}}
      - {key: user}
  - key: path
    rate_limit: {unit: day, requests_per_unit: 3}
"""


def told(*entries: str, config: bytes = TEXT, quota_mode: bool = False, shadow_mode: bool = False) -> str:
    """The text for descriptors of `k=v,k=v` each; `own` is an override."""
    return "\n".join(text_lines(answered(*entries, config=config, quota_mode=quota_mode, shadow_mode=shadow_mode)))


def answered(
    *entries: str,
    config: bytes = TEXT,
    quota_mode: bool = False,
    shadow_mode: bool = False,
    domain: str = "d",
    stop: bool = False,
) -> dict[str, object]:
    """The report, which JSON can write."""
    planner = Planner(
        exact_counter, lambda *_: LimitStats(), calendar_months=True, grouping=Grouping(stop_when_over=stop)
    )
    descriptors = []
    for each in entries:
        pairs = [pair.partition("=")[::2] for pair in each.split(",") if pair]
        descriptors.append(Descriptor(tuple(pairs), Limit(7, Unit.MONTH) if each == "own" else None))
    request = Request(domain, tuple(descriptors))
    rules = DecisionRules(quota_mode=quota_mode)
    loaded = load_config([ConfigFile("f.yaml", config)])
    found = report(explain(loaded, request, planner, NOW, rules), shadow_mode=shadow_mode)
    assert json.loads(json.dumps(found)) == found
    return found


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ("tier=golden", "1. tier=golden: taken by the pattern tier_gold*, f.yaml:3"),
        ("tier=golden", "=> 5 per 2 minutes (fixed_window) named small, f.yaml:3"),
        ("tier=golden", "counter: {rl:f2x2:1:d,4:tier,5:gold*,}:1699999920"),
        ("tier=golden", "window: 120 s from 2023-11-14T22:12:00Z, ends in 30 s"),
        ("tier=golden", "- share_threshold: all values that match tier_gold* share one counter"),
        ("tier=golden", "- shadow mode: counted, and never denied"),
        ("tier=x", "taken by the bare key tier, f.yaml:8"),
        ("tier=x", "=> 9 per month (gcra), f.yaml:8"),
        ("tier=x", "though the algorithm looks back, not at windows"),
        ("tier=x", "- quota mode: denies only where all limits in quota mode of the request are over"),
        ("tier=x", "- replaces small where the same request reaches it"),
        ("tier=free", "=> unlimited, f.yaml:11"),
        ("tier=free", "- unlimited: answered OK, never counted, the store is not asked"),
        ("tier=free", "overall: OK: nothing is counted"),
        ("own", "=> 7 per month of the calendar (fixed_window), the request's own limit (an override)"),
        ("", "descriptor 1: (no entries)"),
        ("", "=> not limited: the descriptor has no entries"),
        ("path=/a", "=> not limited: too shallow: path_/a, f.yaml:14, has no rate_limit, only descriptors below it"),
        ("path=/a", "- configured at this place: ip, user"),
        ("path=/a", "- path, f.yaml:19, would have taken path=/a, but path_/a goes first"),
        ("path=/a,user=x", "=> not limited: user, f.yaml:18, has no rate_limit"),
        ("path=/b,ip=1", "=> not limited: too deep: 2 entries, and the tree ends after 1; nothing stands below path"),
        ("path=/b,ip=1", "- without the entries from ip=1 on: 3 per day (fixed_window), f.yaml:19"),
        ("pth=/b", "=> not limited: nothing matches pth=/b at level 1"),
        ("pth=/b", "1. pth=/b: nothing here takes it"),
        ("pth=/b", "- near: path_/a"),
        ("ip=1,path=/a", "- path=/a (entry 2) would match here: the order of entries counts"),
        ("tier=a\x1b[2J", "tier=a\\x1b[2J"),
    ],
)
def test_what_is_said_of_a_descriptor(entries: str, sentence: str) -> None:
    """One line for each thing that changes the answer, with the place where it is written."""
    assert sentence in told(entries)


def test_a_replaced_limit_names_who_replaces_it() -> None:
    """By the number of the descriptor."""
    assert "- replaced: the limit of descriptor 2 replaces small, so this one is neither charged" in told(
        "tier=golden", "tier=x"
    )
    assert answered("tier=golden", "tier=x")["overall"] == [
        "OVER_LIMIT if a limit outside quota mode is over, or if all limits in quota mode are"
    ]


def test_an_unknown_domain() -> None:
    """The nearest one that there is."""
    text = "\n".join(text_lines(answered("tier=x", domain="dd")))
    assert "=> not limited: no file configures the domain dd" in text
    assert "- near: d\n" in text


def test_an_empty_domain_ends_every_walk() -> None:
    """The first entry is one too many, and there is no node to name but the domain."""
    assert "too deep: 1 entries, and the tree ends after 0; nothing stands below d, f.yaml:1" in told(
        "tier=x", config=b"domain: d"
    )


def test_of_very_many_the_first_are_compared() -> None:
    """It is said that others were not."""
    keys = b"".join(b"  - {key: k%d, rate_limit: {unit: day, requests_per_unit: 1}}\n" % n for n in range(1001))
    assert "- only the first 1000 were compared" in told("kk=1", config=b"domain: d\ndescriptors:\n" + keys)


def test_the_overall_decision() -> None:
    """What the settings and the domain make of all limits together."""
    config = b"domain: d\nall_or_nothing: true\n" + TEXT.partition(b"\n")[2].replace(b"algorithm: gcra", b"name: n")
    assert answered("path=/b")["overall"] == ["OVER_LIMIT if any of the limits is over"]
    overall = answered("path=/b", "path=/c", config=config, shadow_mode=True)["overall"]
    assert overall == [
        "OVER_LIMIT if any of the limits is over",
        "all_or_nothing: where one would go over, nothing is charged",
        "SHADOW_MODE: the overall code is OK whatever comes out",
    ]
    assert "QUOTA_MODE: OVER_LIMIT only if every" in told("path=/b", quota_mode=True)
    stopped = answered("path=/b", "path=/c", stop=True)["overall"]
    assert isinstance(stopped, list)
    assert "where one is over, the others are not charged" in stopped[1]


def test_nothing_reaches_a_terminal_as_it_is() -> None:
    """Control characters are escaped, letters of any script are not."""
    assert legible("é\x1b\n") == "é\\x1b\\n"
