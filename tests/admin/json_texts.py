"""Bodies that somebody might send to /json, made from the grammar of JSON with the names of rls.proto."""

import json
import re

from hypothesis import strategies as st

NAMES = re.findall(
    r"\S+",
    "domain descriptors hitsAddend hits_addend entries key value limit requestsPerUnit requests_per_unit unit "
    "unitMultiplier unit_multiplier isNegativeHits is_negative_hits other @type",
)
UNITS = ["SECOND", "MINUTE", "UNKNOWN", "FORTNIGHT"]
NUMBERS = re.findall(r"\S+", "0 1 -1 -0 1.0 1.5 01 1e2 1e400 -1e400 1e-400 4294967296 NaN -Infinity 0x10 1_0 .5 5.")
ESCAPES = [r'"\ud800"', r'"\udc00\ud800"', r'"\u0000"', r'"\x"', '"\n"', '"open', '"\\', r'"\ud83d\ude00"']
LONG = ["9" * 400, "9" * 4300, "9" * 5000, "1e" + "9" * 400]

names = st.sampled_from([*NAMES, ""]).map(json.dumps) | st.text(max_size=4).map(json.dumps)
scalars = (
    st.sampled_from([*NUMBERS, *ESCAPES, *LONG, "null", "true", "false", "nul", ""])
    | st.sampled_from(["d", "k", "v", *UNITS, "1", "x" * 5000]).map(json.dumps)
    | st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False))
)


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Keys may stand twice."""
    pairs = st.tuples(names, values).map(":".join)
    return st.lists(pairs, max_size=5).map(lambda found: "{" + ",".join(found) + "}")


def lists(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Of anything."""
    return st.lists(values, max_size=4).map(lambda found: "[" + ",".join(found) + "]")


anything = st.recursive(scalars, lambda values: objects(values) | lists(values), max_leaves=12)


def field(name: str, value: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A field with what belongs there, or nearly."""
    return st.one_of(value, value, anything).map(lambda text: f'"{name}":{text}')


def message(*fields: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Some of its fields, some of them twice."""
    return st.lists(st.one_of(*fields), max_size=4).map(lambda found: "{" + ",".join(found) + "}")


entries = message(field("key", st.just('"k"')), field("value", scalars))
limits = message(field("unit", st.sampled_from(['"MINUTE"', "2", "7", "99"])), field("requestsPerUnit", scalars))
descriptors = message(
    field("entries", lists(entries)),
    field("limit", limits),
    field("hitsAddend", scalars),
    field("isNegativeHits", st.sampled_from(["true", '"true"'])),
)
requests = message(
    field("domain", st.sampled_from(['"d"', '""'])),
    field("descriptors", lists(descriptors)),
    field("hitsAddend", scalars),
)
floods = st.tuples(
    st.sampled_from(["[", "{", '{"descriptors":[', '{"a":', '"\\"', "[],", "{},", '"a",', "1,", "\x00"]),
    st.integers(1, 70_000),
).map(lambda pair: (pair[0] * pair[1])[:70_000])
encodings = st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "utf-32", "utf-8-sig", "latin-1"])


def encoded(pair: tuple[str, str]) -> bytes:
    """In that encoding, as far as it can say it."""
    return pair[0].encode(pair[1], errors="replace")


bodies = st.one_of(
    st.tuples(st.one_of(requests, requests, anything, floods), encodings).map(encoded), st.binary(max_size=64)
)
