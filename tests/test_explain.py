import io
import json
from pathlib import Path
from typing import Any

import pytest

from ratelimit.explain import Question, tell_why
from ratelimit.settings import load_settings

CATALOG = Path(__file__).parents[1] / "config"
GOLD = "header_match=gold_request"


def told(*words: str, domain: str = "catalog-ratelimit", directory: Path = CATALOG, **options: Any) -> str:
    """What is written, after its exit code."""
    out = io.StringIO()
    question = Question(directory, domain, words, **options)
    return f"{tell_why(question, load_settings({}), out)} {out.getvalue()}"


def test_a_request_of_the_example() -> None:
    """The limit, where it stands, and its counter at the second asked about."""
    text = told(GOLD, now=1_700_000_010)
    assert text.startswith("0 domain catalog-ratelimit, at 2023-11-14T22:13:30Z\n")
    assert "=> 10 per minute (fixed_window), catalog.yaml:19" in text
    assert "counter: {rl:f2:17:catalog-ratelimit,12:header_match,12:gold_request,}:1699999980\n" in text


def test_what_changes_the_key() -> None:
    """The prefix and the format of counters, in place of the settings'."""
    text = told(GOLD, now=0, prefix="p:", key_format="reference")
    assert "counter: p:catalog-ratelimit_header_match_gold_request_0\n" in text


def test_several_descriptors_as_json() -> None:
    """`and` stands between them."""
    answer = json.loads(told(GOLD, "and", "a=b=c", "d=", as_json=True).partition(" ")[2])
    assert [each["entries"] for each in answer["descriptors"]] == [
        [["header_match", "gold_request"]],
        [["a", "b=c"], ["d", ""]],
    ]
    assert answer["descriptors"][1]["missing"]["reason"] == "no_match"


def test_a_bucket_id_is_explained() -> None:
    """In the order of the tree, with what it is told; and where it reaches no limit."""
    text = told("path=/login", "tenant=x", domain="example", bucket=True)
    assert "descriptor 1: tenant=x, path=/login" in text
    assert "as a bucket: everything passes, since the limit is in shadow mode" in text
    assert "in no order do all entries reach a limit" in told("path=/login", domain="example", bucket=True)
    assert told("a=b", "a=c", bucket=True).startswith("1 a bucket id has each key once")
    assert told("a=b", "and", "c=d", bucket=True).startswith("1 a bucket id has each key once")


@pytest.mark.parametrize(
    ("words", "options", "reason"),
    [
        (["gold"], {}, "gold: key=value is wanted"),
        (["a=b", "and"], {}, "`and` stands between descriptors"),
        (["a=b"], {"now": -1}, "--now: -1 is not a unix second"),
        (["a=b"], {"domain": ""}, "rate limit domain must not be empty"),
        (["a=\udcff"], {}, "the question is not UTF-8"),
        (["a=b"], {"directory": CATALOG / "none"}, "does not exist"),
    ],
)
def test_a_question_that_is_none(words: list[str], options: dict[str, Any], reason: str) -> None:
    """Exit code 1, and what is wrong."""
    text = told(*words, **options)
    assert text.startswith("1 ")
    assert reason in text
