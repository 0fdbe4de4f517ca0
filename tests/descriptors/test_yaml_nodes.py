import pytest

from ratelimit.descriptors.yaml_composer import LoadLimits
from ratelimit.descriptors.yaml_nodes import WARNINGS_MAX, Document, Value, read_root
from ratelimit.errors import ConfigError


def value(text: str) -> Value:
    """The value of `v:` in a small file."""
    root = read_root(Document("f.yaml", LoadLimits()), f"v: {text}\n".encode())
    assert root is not None
    return dict(root.items())["v"]


@pytest.mark.parametrize(
    "text", ["yes", "010", "0x10", "1:30", "1:30.5", "2020-01-01", "True", "1.2.3", "1_000", "<<", "=", "on"]
)
def test_a_text_is_what_is_written(text: str) -> None:
    """YAML's guesses about types do not change a value."""
    assert value(text).text() == text


def test_null_is_no_text() -> None:
    """`~`, null and nothing at all mean no value; a quoted one is a text."""
    assert [value(text).text() for text in ("~", "null", "", "'~'")] == ["", "", "", "~"]


@pytest.mark.parametrize("text", ["1.5", "1e3", ".5", ".inf"])
def test_a_fraction_is_no_text(text: str) -> None:
    """Unquoted it is refused, quoted it is a text."""
    with pytest.raises(ConfigError, match="quote it"):
        value(text).text()
    assert value(f"'{text}'").text() == text


@pytest.mark.parametrize(
    ("text", "number"),
    [("10", 10), ("010", 8), ("0x2", 2), ("1_000", 1000), ("0b11", 3), ("0o17", 15), ("0", 0), ("+7", 7)],
)
def test_numbers_are_yaml_1_1(text: str, number: int) -> None:
    """Octal, hexadecimal, binary and underscores as the reference reads them."""
    assert value(text).integer(2**32 - 1) == number


@pytest.mark.parametrize("text", ["2.0", "1e3", "'1'", "x", "-1", "4294967296", "[1]", "~", "089"])
def test_what_is_no_count_is_refused(text: str) -> None:
    """Fractions, quoted numbers, negative and too large ones are errors with a place."""
    with pytest.raises(ConfigError, match=r"^f.yaml:1: v: "):
        value(text).integer(2**32 - 1)


@pytest.mark.parametrize(("text", "flag"), [("y", True), ("Yes", True), ("ON", True), ("n", False), ("false", False)])
def test_booleans_are_yaml_1_1(text: str, flag: bool) -> None:
    """The spellings of YAML 1.1."""
    assert value(text).boolean() is flag


@pytest.mark.parametrize("text", ["yEs", "1", "'true'", "{}"])
def test_what_is_no_boolean_is_refused(text: str) -> None:
    """Anything else is an error."""
    with pytest.raises(ConfigError):
        value(text).boolean()


def test_metadata_is_json() -> None:
    """Free values keep their types; a date stays text; what JSON does not know is refused."""
    text = "{a: [1, 2.5, yes, y, ~, 'x', 'n', 2020-01-01], b: {c: d, 010: e, '011': f, y: g, ~: h}}"
    nested = {"c": "d", "8": "e", "011": "f", "true": "g", "<nil>": "h"}
    assert value(text).json() == {"a": [1, 2.5, True, True, None, "x", "n", "2020-01-01"], "b": nested}
    with pytest.raises(ConfigError, match="JSON"):
        value("{a: .nan}").json()


@pytest.mark.parametrize("text", ["1:30", "1:30.5", "2020-01-01", "=", "<<", "'0x_'", "!!str 5", "0x_", "2026-13-01"])
def test_metadata_does_not_guess(text: str) -> None:
    """What is not plainly a number, true, false or null is the text that is written."""
    assert value(text).json() == text.removeprefix("!!str ").strip("'")


def test_a_number_that_a_double_holds_is_kept() -> None:
    """300 digits are a number, 400 are a text: an answer could not hold them otherwise."""
    assert value("9" * 300).json() == float("9" * 300)
    assert value("9" * 400).json() == "9" * 400


def test_merge_keys_take_mappings_only() -> None:
    """Anything else is a mistake, with its place, not nothing."""
    with pytest.raises(ConfigError, match=r"^f.yaml:1: v.<<: a merge key takes a mapping or a list of mappings"):
        value("{<<: 5}").json()


def test_lenient_warnings_are_bounded() -> None:
    """A file of mistakes does not flood the log."""
    document = Document("f.yaml", LoadLimits(), strict=False)
    root = read_root(document, b"a: 1\n" * 1000)
    assert root is not None
    assert dict(root.items())["a"].integer(9) == 1
    assert len(document.warnings) == WARNINGS_MAX + 1


def test_merge_keys_fill_in() -> None:
    """`<<` brings another mapping's keys; the own ones win."""
    root = read_root(Document("f", LoadLimits()), b"base: &b {x: 1, q: 2}\nv: {<<: *b, q: 3}\nw: {<<: [*b, {z: 4}]}\n")
    assert root is not None
    fields = dict(root.items())
    assert fields["v"].json() == {"q": 3, "x": 1}
    assert fields["w"].json() == {"x": 1, "q": 2, "z": 4}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"a: [[[[1]]]]", "more than 3 levels of nesting"),
        (b"a: [1, 2, 3, 4, 5, 6, 7, 8, 9]", "more than 9 nodes"),
        (b"a: &x 1\nb: *x\nc: *x", "more than 1 aliases"),
        (b"a: " + b"x" * 200, "larger than 100 bytes"),
        (b"a: \xff", "f.yaml:1: not UTF-8"),
        (b"a: 1\n\tb: 2", "f.yaml:2: not YAML"),
        (b"a: \x00", "not YAML"),
    ],
)
def test_the_caps_hold_before_anything_is_built(text: bytes, reason: str) -> None:
    """A hostile file costs little and is told why."""
    limits = LoadLimits(file_bytes_max=100, depth_max=3, nodes_max=9, aliases_max=1)
    with pytest.raises(ConfigError, match=reason):
        read_root(Document("f.yaml", limits), text)


def test_aliases_count_expanded() -> None:
    """A small file whose aliases unfold to many nodes is refused while it is read."""
    document = Document("bomb.yaml", LoadLimits(nodes_max=100))
    layers = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 6))
    root = read_root(document, f"l0: &l0 [x]\n{layers}\n".encode())
    assert root is not None
    with pytest.raises(ConfigError, match="aliases expanded"):
        root.json()


def test_a_loop_of_aliases_ends() -> None:
    """A node that holds itself is refused, not followed for ever."""
    root = read_root(Document("loop.yaml", LoadLimits(nodes_max=500)), b"a: &a [*a]\n")
    assert root is not None
    with pytest.raises(ConfigError):
        root.json()
