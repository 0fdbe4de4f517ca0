import json

import pytest
from hypothesis import given, settings

from ratelimit.descriptors.loader import ConfigFile, load_config, read_nodes
from ratelimit.descriptors.quota_assignment import DEFAULT, QuotaAssignment
from ratelimit.descriptors.tree import Config, Node
from ratelimit.descriptors.yaml_composer import LoadLimits
from ratelimit.errors import ConfigError
from ratelimit.sources.handover import (
    PIECE_BYTES_MAX,
    ROWS_MAX,
    Job,
    Receiver,
    digest_of,
    failed_line,
    node_lines,
    tree_nodes,
)
from tests.descriptors.texts import contents


def handed(*files: ConfigFile) -> Receiver:
    """The tree at the other end."""
    receiver = Receiver()
    for line in node_lines(read_nodes(files, lambda _: None, merge_domains=True)):
        receiver.take(json.loads(line)["nodes"])
    return receiver


def facts(node: Node) -> object:
    """Everything that a node and those below it say."""
    flags = (
        node.detailed_metric,
        node.value_to_metric,
        node.share_threshold,
        node.all_or_nothing,
        node.on_store_error,
    )
    below = [facts(child) for child in node.children.values()]
    return (node.composite, node.value, node.limit, flags, node.place, [pattern for pattern, _ in node.patterns], below)


@settings(max_examples=100, deadline=None)
@given(contents)
def test_what_arrives_is_what_was_loaded(text: bytes) -> None:
    """Every configuration that loads survives the way through the pipe, down to places and metadata."""
    file = ConfigFile("f.yaml", text)
    try:
        loaded = load_config([file])
    except ConfigError:
        return
    arrived = handed(file).domains
    assert [facts(root) for root in arrived.values()] == [facts(root) for root in loaded.domains.values()]


@pytest.mark.parametrize("rest", ["", ", name: n", ", name: n, replaces: [{name: m}]"])
def test_windows_and_algorithms_arrive(rest: str) -> None:
    """With and without what else a limit may say; limits without it stay apart."""
    text = f"""
domain: d
descriptors:
  - {{key: a, rate_limit: {{unit: day, requests_per_unit: 1{rest}}}}}
  - {{key: b, rate_limit: {{unit: day, requests_per_unit: 1, unit_multiplier: 3, algorithm: gcra{rest}}}}}
  - {{key: c, rate_limit: {{unit: day, requests_per_unit: 1{rest}}}}}
"""
    limits = [node.limit for node in handed(ConfigFile("f", text.encode())).domains["d"].children.values()]
    told = [(limit.unit_multiplier, limit.window_s // 86_400, limit.algorithm) for limit in limits if limit]
    assert told == [(1, 1, "fixed_window"), (3, 3, "gcra"), (1, 1, "fixed_window")]


@pytest.mark.parametrize("rest", ["", ", unit_multiplier: 3", ", name: n"])
def test_how_limits_are_divided_arrives(rest: str) -> None:
    """With and without what else a limit may say; limits without it stay apart."""
    text = f"""
domain: d
descriptors:
  - {{key: a, rate_limit: {{unit: day, requests_per_unit: 1{rest}}}, quota_assignment: {{weights: {{edge: 2}}}}}}
  - {{key: b, rate_limit: {{unit: day, requests_per_unit: 1{rest}}}, quota_assignment: {{exact: true}}}}
  - {{key: c, rate_limit: {{unit: day, requests_per_unit: 1{rest}}}}}
"""
    limits = [node.limit for node in handed(ConfigFile("f", text.encode())).domains["d"].children.values()]
    told = [limit.quota_assignment for limit in limits if limit]
    assert told == [QuotaAssignment(weights={"edge": 2.0}), QuotaAssignment(exact=True), DEFAULT]


def test_a_tree_is_handed_on_as_it_was_handed_over() -> None:
    """From the service to its workers: the same nodes, limits and files, also where files share a domain."""
    one = ConfigFile(
        "a.yaml",
        b"domain: d\non_store_error: deny\ndescriptors: [{key: a*, descriptors: [{key: b, value: c}]}, {key: b*}]",
    )
    two = ConfigFile("b.yaml", b"domain: d\ndescriptors: [{key: e, rate_limit: {unit: day, requests_per_unit: 1}}]")
    other = ConfigFile("c.yaml", b"domain: e\nall_or_nothing: true\ndescriptors: [{key: a}]")
    first, second = handed(one, two, other), Receiver()
    for line in node_lines(tree_nodes(Config(first.domains))):
        second.take(json.loads(line)["nodes"])
    before, after = first.domains.values(), second.domains.values()
    assert [facts(root) for root in after] == [facts(root) for root in before]
    assert second.limits == 1
    assert [(root.all_or_nothing, root.on_store_error.name) for root in after] == [(False, "DENY"), (True, "ERROR")]


def test_pieces_are_small_and_complete() -> None:
    """No more rows and bytes than the bounds say, unless one node alone is larger."""
    rows = "".join(f"- {{key: k{n}, value: {'x' * (3_000 if n < 50 else 1)}}}\n" for n in range(1000))
    file = ConfigFile("f.yaml", b"domain: d\ndescriptors:\n" + rows.encode())
    lines = list(node_lines(read_nodes([file], lambda _: None)))
    assert all(len(line) <= PIECE_BYTES_MAX + 500 for line in lines)
    assert all(len(json.loads(line)["nodes"]) <= ROWS_MAX for line in lines)
    assert sum(len(piece) for piece in handed(file).pieces) == 1001


def test_merged_files_go_on_with_the_domain_and_keep_their_own_names() -> None:
    """Each node knows the file it stands in."""
    one = ConfigFile("a.yaml", b"domain: d\ndescriptors: [{key: a}]")
    two = ConfigFile("b.yaml", b"domain: d\ndescriptors: [{key: b}]")
    children = handed(one, two).domains["d"].children
    assert {key: node.file for key, node in children.items()} == {"a": "a.yaml", "b": "b.yaml"}


def test_equal_limits_are_one_object() -> None:
    """Twenty thousand descriptors have a handful of limits; those with a name or metadata stay apart."""
    limit = "rate_limit: {unit: day, requests_per_unit: 1}"
    named = "rate_limit: {unit: day, requests_per_unit: 1, name: n}"
    text = f"domain: d\ndescriptors: [{{key: a, {limit}}}, {{key: b, {limit}}}, {{key: c, {named}}}]"
    limits = [node.limit for node in handed(ConfigFile("f", text.encode())).domains["d"].children.values()]
    assert limits[0] is limits[1]
    assert limits[2] is not None
    assert limits[2].name == "n"


def test_an_error_keeps_its_place() -> None:
    """Reason, file, line and key path."""
    error = ConfigError(
        "wrong", file="f\udcff.yaml".encode("utf-8", "backslashreplace").decode(), line=3, key_path="a.b"
    )
    told = json.loads(failed_line(error, "x"))
    assert str(ConfigError(**told["failed"])) == str(error)


@pytest.mark.parametrize("job", [Job("/etc/x"), Job("/\udcff", True, False, True, "d", LoadLimits(1, 2, 3, 4))])
def test_a_job_arrives_as_it_was_sent(job: Job) -> None:
    """Also with a directory whose name is not UTF-8."""
    assert Job.from_line(job.line()) == job


def test_the_digest_is_of_names_and_contents() -> None:
    """A renamed file is a change; bytes cannot move between a name and its text."""
    files = [ConfigFile("a", b"x"), ConfigFile("b", b"x"), ConfigFile("ax", b""), ConfigFile("a", b"y")]
    assert len({digest_of([file]) for file in files}) == 4
    assert digest_of(files) == digest_of(list(files))
