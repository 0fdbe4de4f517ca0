"""Texts of a configuration that YAML takes for something else: read as written here, and changed by other tools."""

from collections.abc import Iterator

from ratelimit.descriptors import yaml_scalars
from ratelimit.descriptors.yaml_composer import TAG, Scalar, implicit_tag
from ratelimit.descriptors.yaml_nodes import Value
from ratelimit.lint.finding import Finding, quoted

_GUESSES = {
    f"{TAG}bool": "a boolean",
    f"{TAG}timestamp": "a date",
    f"{TAG}float": "a number",
    f"{TAG}merge": "a merge key",
    f"{TAG}value": "a value key",
}
_SAFE_BOOLEANS = ("true", "false")


def yaml_findings(root: Value) -> Iterator[Finding]:
    """The findings of one file that loads."""
    fields = dict(root.items())
    yield from _text(fields["domain"])
    yield from _descriptors(fields)


def _descriptors(fields: dict[str, Value]) -> Iterator[Finding]:
    if "descriptors" not in fields:
        return
    for element in fields["descriptors"].elements():
        inner = dict(element.items())
        yield from _text(inner["key"])
        if "value" in inner:
            yield from _value(inner["value"])
        if "rate_limit" in inner and not inner["rate_limit"].is_null:
            yield from _rate_limit(dict(inner["rate_limit"].items()))
        yield from _descriptors(inner)


def _rate_limit(fields: dict[str, Value]) -> Iterator[Finding]:
    if "name" in fields:
        yield from _text(fields["name"])
    for name in ("requests_per_unit", "unit_multiplier"):
        if name in fields:
            yield from _number(fields[name])


def _value(value: Value) -> Iterator[Finding]:
    text = value.text()
    if not text:
        said = "an empty value is no value: every value of the key matches"
        yield Finding("empty-value", value.place, said, "leave `value` out if that is meant")
    elif text != text.strip():
        said = f"{quoted(text)} has white space at an end, and Envoy sends header values without"
        yield Finding("value-space", value.place, said, f"write {quoted(text.strip())}")
    yield from _text(value)


def _text(value: Value) -> Iterator[Finding]:
    taken = _taken_for(value.node) if isinstance(value.node, Scalar) else ""
    if taken:
        text = value.text()
        said = f"the text {text} is {taken} to YAML: kept as written here, changed by tools that write it again"
        yield Finding("yaml-value", value.place, said, f'write "{text}" in quotes')


def _taken_for(node: Scalar) -> str:
    """What YAML takes a plain text for, where it would be written otherwise again; "" else."""
    tag = implicit_tag(node.text)
    tagged = node.tag == f"{TAG}str" != tag
    if not node.plain or tagged or node.text in _SAFE_BOOLEANS:
        return ""
    number = yaml_scalars.integer(node.text)
    if number is not None:
        return "" if str(number) == node.text else f"the number {number}"
    if tag == f"{TAG}int":
        return "a number to base 60" if ":" in node.text else "a number"
    # Go's library, which Kubernetes uses, takes y and n for booleans too.
    if yaml_scalars.boolean(node.text) is not None:
        return "a boolean"
    return _GUESSES.get(tag, "")


def _number(value: Value) -> Iterator[Finding]:
    text = value.node.text if isinstance(value.node, Scalar) else ""
    number = yaml_scalars.integer(text)
    if number and text.lstrip("+-")[:1] == "0" and text.lstrip("+-")[1:2].isdigit():
        yield Finding("yaml-number", value.place, f"{text} is octal, the number {number}", f"write {number}")
