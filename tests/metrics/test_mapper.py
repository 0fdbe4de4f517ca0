import pytest

from ratelimit.metrics.mapper import HELP, Mapper, escaped, read_mapper

LIMIT = "ratelimit.service.rate_limit.d.{}.{}"


def mapper(*mappings: str, defaults: str = "{}") -> Mapper:
    """Of mappings in YAML's short form."""
    return read_mapper(f"defaults: {defaults}\nmappings: [{', '.join(mappings)}]")


def plain_quantiles(mapper: Mapper) -> tuple[float, ...]:
    """Those of a stat that no mapping takes."""
    found = mapper.find("z", "observer")
    assert found is not None
    return found.rule.quantiles


def named(mapper: Mapper, name: str, kind: str = "counter") -> tuple[str, dict[str, str]] | None:
    """The name and the labels of what becomes of a stat."""
    found = mapper.find(name, kind)
    return None if found is None else (found.name, dict(found.labels))


def test_a_glob_takes_one_word_for_each_star() -> None:
    """The whole name must match; what no mapping takes keeps its name."""
    found = mapper('{match: "a.*.b.*", name: "n_$2", labels: {one: "[$1]", two: "${2}", three: "$3", four: "$1x"}}')
    assert named(found, "a.x.b.y") == ("n_y", {"one": "[x]", "two": "y", "three": "", "four": ""})
    assert named(found, "a..b.y") == ("n_y", {"one": "[]", "two": "y", "three": "", "four": ""})
    for other in ("a.x.b", "a.x.b.y.z", "z.a.x.b.y"):
        assert named(found, other) == (other.replace(".", "_"), {})


def test_a_regular_expression_is_found_anywhere() -> None:
    """Parts by number and by name; `$$` is a `$`; a name goes on as far as it can."""
    labels = '{aa: "$dom-$$-$9-$1x$0$2"}'
    found = mapper(f'{{match: "limit\\\\.(?P<dom>\\\\w+)(x)?", match_type: regex, name: "n_${{1}}", labels: {labels}}}')
    assert named(found, "rate.limit.d.k") == ("n_d", {"aa": "d-$--limit.d"})
    assert named(found, "rate") == ("rate", {})


def test_globs_come_before_regular_expressions() -> None:
    """Wherever they stand; among globs the first one counts, however exact another is."""
    regex, star = '{match: ".*", match_type: regex, name: "regex"}', '{match: "a.*", name: "star"}'
    exact = '{match: "a.b", name: "exact"}'
    found = mapper(regex, star, exact)
    assert [named(found, name) for name in ("a.b", "b.a")] == [("star", {}), ("regex", {})]
    unordered = mapper(regex, star, exact, defaults="{glob_disable_ordering: true}")
    assert [named(unordered, name) for name in ("a.b", "a.c")] == [("exact", {}), ("star", {})]


def test_the_kind_of_a_stat_can_be_asked_for() -> None:
    """Timer is an old word for observer; the next mapping is asked where the kind differs."""
    found = mapper(
        '{match: "a", match_metric_type: timer, name: "timer"}',
        '{match: "a", match_metric_type: gauge, name: "gauge"}',
    )
    assert [named(found, "a", kind) for kind in ("observer", "gauge", "counter")] == [
        ("timer", {}), ("gauge", {}), ("a", {}),
    ]  # fmt: skip


def test_what_is_dropped_is_gone() -> None:
    """It has no name any more."""
    assert named(mapper('{match: "a.*", action: drop, name: "x"}'), "a.b") is None


def test_what_else_a_mapping_says() -> None:
    """Help, scale, what a timer becomes, its buckets: the mapping's own, else the defaults of the file."""
    options = "observer_type: summary, histogram_options: {buckets: [2, 1]}"
    found = mapper(
        f'{{match: "a", name: "a", help: "H", scale: "0.001", {options}}}',
        '{match: "b", name: "b", buckets: [3]}',
        '{match: "c", name: "c"}',
        defaults="{timer_type: histogram, buckets: [7]}",
    )
    text = "summary_options: {quantiles: [{quantile: 0.9, error: 0.1}, {quantile: 0.5}]}"
    summary = mapper(f'{{match: "a", name: "a", {text}}}').find("a", "observer")
    assert summary is not None
    assert (summary.rule.quantiles, plain_quantiles(found)) == ((0.5, 0.9), (0.5, 0.9, 0.99))
    own, old, plain, none = (found.find(name, "observer") for name in ("a", "b", "c", "d"))
    assert own is not None and old is not None and plain is not None and none is not None  # noqa: PT018
    assert (own.rule.help, own.rule.scale, own.rule.observer, own.rule.buckets) == ("H", 0.001, "summary", (1, 2))
    assert (old.rule.observer, old.rule.buckets) == ("histogram", (3,))
    assert (plain.rule.help, plain.rule.buckets) == (HELP, (7,))
    assert (none.rule.observer, none.rule.buckets) == ("histogram", (7,))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[1]", "a mapping with the key"),
        ("mappings: {a: b}", "the file: mappings is no list"),
        ("mappings: [a]", "mapping 1: a mapping is wanted"),
        ("mappings: [{match: a, name: a}, {match: 'a.**', name: a}]", "mapping 2: match 'a.**' is no glob"),
        ("mappings: [{match: '(', match_type: regex, name: a}]", "mapping 1: match '(' is no regular expression"),
        ("mappings: [{match: a}]", "mapping 1: name '' is no name"),
        ("mappings: [{match: a, name: a-b}]", "mapping 1: name 'a-b' is no name"),
        ("mappings: [{match: a, name: a, labels: {b: x}}]", "mapping 1: 'b' is no name of a label"),
        ("mappings: [{match: a, name: a, labels: {bb: [x]}}]", "mapping 1: bb is no text"),
        ("mappings: [{match: a, name: a, labels: x}]", "mapping 1: labels is no mapping"),
        ("mappings: [{match: a, name: a, action: keep}]", "mapping 1: action 'keep' is none of map, drop"),
        ("mappings: [{match: a, name: a, match_metric_type: set}]", "mapping 1: match_metric_type 'set'"),
        ("mappings: [{match: a, name: a, scale: x}]", "mapping 1: 'x' is no number"),
        ("mappings: [{match: a, name: a, buckets: [[1]]}]", "mapping 1: ['1'] is no number"),
        ("mappings: [{match: a, name: a, quantiles: [0.5]}]", "mapping 1: quantiles are mappings"),
        ("defaults: {observer_type: x}", "defaults: observer_type 'x'"),
        ("a: [", "line 1"),
    ],
)
def test_what_is_wrong_is_named(text: str, place: str) -> None:
    """The place in the file, and what stands there."""
    with pytest.raises(ValueError) as caught:
        read_mapper(text)
    assert place in str(caught.value)


def test_an_empty_file_maps_nothing() -> None:
    """Every name is its own."""
    assert named(read_mapper(""), "a.b") == ("a_b", {})


def test_names_of_metrics_are_made_safe() -> None:
    """As statsd_exporter does it: a digit gets `_` before it, dashes in a row become one."""
    assert [escaped(name) for name in ("a.b:c", "1a", "a--b-c", "é", "")] == ["a_b_c", "_1a", "a_b_c", "_", ""]
