"""What the rate limit actions of Envoy send: the descriptors that can come of them, and of which requests.

A descriptor is a list of entries, each with the key and the value that the action gives it, or with None for a text
that only the request, the connection or an extension decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from ratelimit.descriptors.specification import Place
from ratelimit.lint.headers import holds, name_of
from ratelimit.lint.items import Item, number

# Actions that may be left out double the descriptors; nobody writes more of them than this in one list.
_OPTIONAL_MAX = 6
_ADDRESSES = ("remote_address", "masked_remote_address", "source_cluster", "destination_cluster")
# The field with the key, and the key where it is not given.
_KEYS = {
    "request_headers": "",
    "query_parameters": "",
    "generic_key": "generic_key",
    "header_value_match": "header_match",
    "query_parameter_value_match": "query_match",
    "remote_address_match": "remote_address_match",
    "metadata": "",
    "dynamic_metadata": "",
}
_VALUED = frozenset(("generic_key", "header_value_match", "query_parameter_value_match", "remote_address_match"))
_CHOSEN_BY_CALLER = frozenset(("request_headers", "query_parameters"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. None: any text. `free` tells that callers choose the value."""

    key: str | None
    value: str | None
    place: Place
    free: bool = False

    def __str__(self) -> str:
        return f"{self.key or '?'}={'*' if self.value is None else self.value}"


@dataclass(slots=True)
class Policy:
    """One element of `rate_limits`: a list of actions that make at most one descriptor of a request."""

    item: Item

    @property
    def place(self) -> Place:
        return self.item.place

    @property
    def stage(self) -> int:
        return number(self.item.get("stage")) or 0

    @property
    def overrides(self) -> bool:
        """Whether it brings a limit of its own."""
        return self.item.get("limit").given

    def actions(self) -> Iterator[tuple[str, Item]]:
        """Each action by its name; "" where it has none, or several."""
        for action in self.item.get("actions").elements:
            names = list(action.named())
            yield names[0] if len(names) == 1 else ("", action)

    def descriptors(self) -> list[tuple[Entry, ...]]:
        """Every descriptor that a request may make of it."""
        choices, optional = list[tuple[tuple[Entry, ...], ...]](), 0
        for name, action in self.actions():
            entry = _entry(name, action)
            if action.get("skip_if_absent").is_true and optional < _OPTIONAL_MAX:
                optional += 1
                choices.append(((entry,), ()))
            else:
                choices.append(((entry,),))
        found = [tuple(entry for part in parts for entry in part) for parts in product(*choices)]
        return [descriptor for descriptor in found if descriptor]

    def headers(self) -> Iterator[tuple[str, Item]]:
        """Each header that decides whether there is a descriptor, with what asks for it."""
        for name, action in self.actions():
            if name == "request_headers":
                yield action.get("header_name").text.lower(), action
            elif name == "header_value_match":
                yield from ((name_of(matcher), matcher) for matcher in action.get("headers").elements)

    def fires(self, header: str, value: str | None) -> bool:
        """Whether a request without any other header that it asks for makes a descriptor.

        What cannot be told, and what the pseudo-headers of a request are, counts as a yes.
        """
        return all(_fires(name, action, header, value) for name, action in self.actions())


def policies(rate_limits: Item) -> list[Policy]:
    """The elements of a `rate_limits`."""
    return [Policy(item) for item in rate_limits.elements]


def network_descriptors(config: Item) -> list[tuple[Entry, ...]]:
    """What the network filter sends: descriptors as they are written."""
    return [
        tuple(
            Entry(entry.get("key").text, entry.get("value").text, entry.place)
            for entry in descriptor.get("entries").elements
        )
        for descriptor in config.get("descriptors").elements
    ]


def _entry(name: str, action: Item) -> Entry:
    if name in _ADDRESSES:
        return Entry(name, None, action.place)
    if name == "extension":
        # CEL names its key; other extensions do as they like.
        return Entry(action.get("typed_config", "descriptor_key").text or None, None, action.place)
    if name not in _KEYS:
        return Entry(None, None, action.place)
    key = action.get("descriptor_key").text or _KEYS[name] or None
    value = action.get("descriptor_value").text
    fixed = name in _VALUED and "%" not in value
    return Entry(key, value if fixed else None, action.place, free=name in _CHOSEN_BY_CALLER)


def _fires(name: str, action: Item, header: str, value: str | None) -> bool:
    if name == "request_headers":
        asked = action.get("header_name").text.lower()
        there = value is not None if asked == header else asked.startswith(":")
        return there or action.get("skip_if_absent").is_true
    if name == "query_parameters":
        return action.get("skip_if_absent").is_true
    if name == "query_parameter_value_match":
        return action.get("expect_match").text == "false"
    if name != "header_value_match":
        return True
    expected = action.get("expect_match").text != "false"
    judged = []
    for matcher in action.get("headers").elements:
        asked = name_of(matcher)
        judged.append(None if asked.startswith(":") else holds(matcher, value if asked == header else None))
    if False in judged:
        return not expected
    return expected or None in judged
