"""Texts for property tests: configuration files by their grammar, seeded with what people write, then damaged."""

from hypothesis import strategies as st

# What stands in files, and what a reader of YAML trips over.
_SCALARS = """1 10 010 0x10 0x_ 0b_ 0b1 0o17 1_000 -1 089 1.5 1e3 1.5e+999 .inf -.INF .nan ._ 2026-13-01 2020-01-01
2001-12-14t21:59:43.10-99:99 yes No y ~ null = << !vault !!int !!float !!bool !!binary !!null !!timestamp !!set ! @x
`x %TAG *a &a &a* *none 1:30 1:30.5 * e*x a*b*c ü 😀 minute DAY second fortnight true 'quoted' '' "" "\\0" "\\ud800"
"\\x41" "\\U00110000" "\\xff" [] {} [1] [[]] {a:} ? : - # | > \t [&b,*b] {<<:} [*a]"""
SCALARS = _SCALARS.split()
PAIRS = (
    "!vault x", "!!int x", "!!int '5'", "!!float x", "!!float 5", "!!bool maybe", "!!binary aGk=", "!!binary ÿ",
    "!!timestamp x", "!!null x", "!!set {a}", "!!omap [a: 1]", "!!python/object/apply:os.getcwd []", "! x", "!!str 1",
    "!<tag:yaml.org,2002:int> x", "!<!x> y", "!%ff y", "{<<: *a}", "{<<: 5}", "{<<: [*a, *a]}", "&a {<<: *a}",
    "{a: &c [*c]}", "{? [a] : b}", "{? {} : b}", "{=: 1}", "{~: 1}", "{<<: {<<: {a: 1}}}", "&d {x: 1}",
)  # fmt: skip
LONG = ("9" * 400, "9" * 5000, "x" * 5000, "-" + "1" * 310, "0x" + "f" * 5000, "1." + "0" * 5000)
_KEYS = """key value rate_limit descriptors shadow_mode quota_mode detailed_metric value_to_metric share_threshold
metadata unit requests_per_unit unlimited name replaces domain << = ~ vaule !vault 'key' &k 1.5 ? *a"""
KEYS = _KEYS.split()

noise = st.text("abk_019.-+:e\\\"'#&*!{}[],?|>%@ \t\n\r\x00\x85\ufeff\ud800é", max_size=6)
odd = st.one_of(st.sampled_from(SCALARS), st.sampled_from(PAIRS), st.sampled_from(LONG), noise)
words = st.sampled_from(("a", "b", "k", "foo", "e*", "*", "10.0.0.1", "'x y'"))


def mostly(usual: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """What is usual in a place, and at times anything."""
    return st.integers(0, 5).flatmap(lambda roll: usual if roll else odd)


def mapping(fields: dict[str, st.SearchStrategy[str]]) -> st.SearchStrategy[str]:
    """A flow mapping of some of the fields, at times with another key."""
    pair = st.sampled_from(sorted(fields)).flatmap(
        lambda name: st.tuples(mostly(st.just(name)) if name == "metadata" else st.just(name), fields[name])
    )
    extra = st.tuples(st.sampled_from(KEYS), odd)
    pairs = st.lists(st.integers(0, 7).flatmap(lambda roll: pair if roll else extra), max_size=6)
    return pairs.map(lambda found: "{" + ", ".join(f"{key}: {value}" for key, value in found) + "}")


RATE_LIMIT = {
    "unit": mostly(st.sampled_from(("second", "minute", "DAY"))),
    "requests_per_unit": mostly(st.integers(0, 99).map(str)),
    "unlimited": mostly(st.sampled_from(("true", "no"))),
    "name": mostly(words),
    "replaces": mostly(words.map(lambda name: f"[{{name: {name}}}]")),
}
QUOTA = {
    "minimum_share": mostly(st.sampled_from((".1", "0", "1"))),
    "expected_envoys": mostly(st.integers(0, 99).map(str)),
    "exact": mostly(st.sampled_from(("true", "no"))),
    "weights": mostly(st.sampled_from(("{edge: 2}", "{a: .5, b: 3}", "{}"))),
}
FLAGS = ("shadow_mode", "quota_mode", "detailed_metric", "value_to_metric", "share_threshold")
DESCRIPTOR = {
    "key": mostly(words),
    "value": mostly(words),
    "rate_limit": mostly(mapping(RATE_LIMIT)),
    "metadata": mostly(mapping(dict.fromkeys(("team", "deep"), mostly(words)))),
    "quota_assignment": mostly(mapping(QUOTA)),
    **{flag: mostly(st.sampled_from(("true", "no"))) for flag in FLAGS},
}


def descriptors(levels: int) -> st.SearchStrategy[str]:
    """A flow list of descriptors, with others below them."""
    below = {"descriptors": descriptors(levels - 1)} if levels else {}
    element = st.tuples(mostly(words), mapping({**DESCRIPTOR, **below})).map(
        lambda found: "{key: " + found[0] + ("" if found[1] == "{}" else ", ") + found[1][1:]
    )
    return st.lists(mostly(element), max_size=4).map(lambda found: "[" + ", ".join(found) + "]")


@st.composite
def damaged(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """A text with a few edits: something cut out, put in or doubled."""
    text = draw(texts)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 6)))
        text = text[:start] + draw(st.one_of(st.just(""), st.just(text[start:end] * 2), odd)) + text[end:]
    return text


files = damaged(
    st.tuples(mostly(words), mostly(descriptors(2)), odd).map(
        lambda found: f"domain: {found[0]}\ndescriptors: {found[1]}\n" + (f"{found[2]}\n" if len(found[2]) == 1 else "")
    )
)
# Every text YAML can hold in every place, and every byte string.
contents = st.integers(0, 9).flatmap(
    lambda roll: files.map(lambda text: text.encode("utf-8", "surrogatepass")) if roll else st.binary(max_size=60)
)
# File names are bytes to the kernel; only the slash and NUL cannot be in one.
names = st.binary(min_size=1, max_size=40).filter(lambda name: not set(name) & {0, 0x2F} and name not in {b".", b".."})
