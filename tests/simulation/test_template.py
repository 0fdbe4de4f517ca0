from typing import Any

import pytest

from ratelimit.descriptors.request import Descriptor, Request
from ratelimit.errors import LogError
from ratelimit.simulation.template import Template, Value, amount_of, path_of, plain_entries

LOYALTY = "header_match=%x-loyalty%_request|no_loyalty"


def entries(*descriptors: str, values: tuple[Value, ...] = (), **options: Any) -> Any:
    """The entries of each descriptor of the request."""
    request = Template("d", descriptors, **options).request(values)
    return None if request is None else [each.entries for each in request.descriptors]


def test_the_example() -> None:
    """A header's value within a text, and another text for those without the header."""
    template = Template("catalog-ratelimit", [LOYALTY])
    assert template.fields == (("x-loyalty",),)
    gold = Descriptor((("header_match", "gold_request"),), hits_addend=1)
    assert template.request(["gold"]) == Request("catalog-ratelimit", (gold,))
    for missing in (None, "-"):
        assert entries(LOYALTY, values=(missing,)) == [(("header_match", "no_loyalty"),)]


def test_several_entries_and_descriptors() -> None:
    """A field is read once; a descriptor that lacks one is left out, and a request without any is none."""
    template = Template("d", ["path=%path%,user=%user.id%", "path=%path%"])
    assert template.fields == (("path",), ("user", "id"))
    assert entries("p=%p%,u=%u%", "p=%p%", values=("/", 7)) == [(("p", "/"), ("u", "7")), (("p", "/"),)]
    assert entries("p=%p%,u=%u%", "p=%p%", values=("/", None)) == [(("p", "/"),)]
    assert entries("p=%p%,u=%u%", values=("/", None)) is None


def test_characters_for_what_they_are() -> None:
    """A backslash before a comma, a bar, a per cent sign, an equals sign, a dot or itself."""
    assert entries(r"a\=b=x\,y\|z\%\\,c=d=e") == [(("a=b", r"x,y|z%\ "[:-1]), ("c", "d=e"))]
    assert path_of(r"http\.request.method") == ("http.request", "method")
    assert plain_entries(r"a=b\,c,d=", "here") == (("a", "b,c"), ("d", ""))


def test_the_domain_may_be_a_field() -> None:
    """A line without it sends nothing."""
    template = Template("%cluster%", ["a=b"])
    request = template.request(["east"])
    assert request is not None
    assert request.domain == "east"
    assert template.request([None]) is None


@pytest.mark.parametrize(("value", "amount"), [(None, 1), ("-", 1), ("", 1), (0, 0), ("-5", -5), (7, 7)])
def test_hits(value: Value, amount: int) -> None:
    """A field says what a request costs; a negative number gives back."""
    assert amount_of(value) == amount
    request = Template("d", ["a=b"], hits="size").request([value])
    assert request is not None
    assert request.descriptors == (Descriptor((("a", "b"),), None, abs(amount), amount < 0),)


def test_hits_that_are_none() -> None:
    """A fraction, or a number beyond any limit."""
    for value in ("1.5", "99999999999", "x"):
        with pytest.raises(ValueError, match="is no whole number"):
            amount_of(value)


@pytest.mark.parametrize(
    ("descriptors", "reason"),
    [
        ([], "--descriptor is wanted"),
        (["user"], "--descriptor user: key=value is wanted"),
        (["=x"], "key=value is wanted"),
        (["a=b,"], "key=value is wanted"),
        (["a=%x"], "one % of it is missing"),
        (["a=%%"], "the name of a field is missing"),
        (["a=%x..y%"], "the name of a field is missing"),
    ],
)
def test_templates_that_are_none(descriptors: list[str], reason: str) -> None:
    """The error shows the template."""
    with pytest.raises(LogError, match=reason):
        Template("d", descriptors)
