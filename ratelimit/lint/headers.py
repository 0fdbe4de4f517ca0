"""What Envoy's header matchers say to one value of one header, and which values are worth trying on them."""

import re
from collections.abc import Iterator

from ratelimit.lint.items import Item, number

# A value that nobody names.
UNKNOWN = "zz-unknown"
_REGEX_CHARACTERS_MAX = 200
# As in ^(gold|silver)$, without any other letter that is special.
_ALTERNATIVES = re.compile(r"\^?\(?(?:\?:)?(?P<words>[\w/.\-]+(?:\|[\w/.\-]+)*)\)?\$?")
_DEPRECATED = {
    "exact_match": "exact",
    "prefix_match": "prefix",
    "suffix_match": "suffix",
    "contains_match": "contains",
    "safe_regex_match": "safe_regex",
}


def name_of(matcher: Item) -> str:
    """The header that is looked at, in small letters."""
    return matcher.get("name").text.lower()


def holds(matcher: Item, value: str | None) -> bool | None:
    """Whether a HeaderMatcher matches a header of this value, None for no such header; None where it cannot be told."""
    inverted = matcher.get("invert_match").is_true
    if "present_match" in dict(matcher.named()):
        return ((value is not None) == matcher.get("present_match").is_true) != inverted
    if value is None:
        if not matcher.get("treat_missing_header_as_empty").is_true:
            return False
        value = ""
    found = _matches(matcher, value)
    return None if found is None else found != inverted


def named_values(matcher: Item) -> list[str]:
    """The values that a matcher names: whole ones, those a regex chooses between, and one for each beginning or end."""
    found: list[str] = []
    for form, pattern in _forms(matcher):
        if form == "exact":
            found.append(pattern.text)
        elif form == "safe_regex":
            words = _ALTERNATIVES.fullmatch(pattern.get("regex").text)
            found += words["words"].split("|") if words else []
        elif form in {"prefix", "suffix", "contains"}:
            found.append(pattern.text)
    return found


def names_values(matcher: Item) -> bool:
    """Whether it tells values apart, and not only whether there is one."""
    return any(form != "present_match" for form, _ in _forms(matcher))


def _forms(matcher: Item) -> Iterator[tuple[str, Item]]:
    for name, pattern in matcher.named():
        if name == "string_match":
            yield from ((form, inner) for form, inner in pattern.named() if form != "ignore_case")
        elif name in _DEPRECATED:
            yield _DEPRECATED[name], pattern
        elif name in {"range_match", "present_match"}:
            yield name, pattern


def _matches(matcher: Item, value: str) -> bool | None:
    forms = list(_forms(matcher))
    if not forms:
        return True  # no form: the header is there
    form, pattern = forms[0]
    if form == "safe_regex":
        return _searched(pattern.get("regex").text, value)
    if form == "range_match":
        start, end, found = number(pattern.get("start")), number(pattern.get("end")), Item(matcher.place, text=value)
        asked = number(found)
        return None if start is None or end is None else asked is not None and start <= asked < end
    text = pattern.text
    if matcher.get("string_match", "ignore_case").is_true:
        text, value = text.lower(), value.lower()
    judged = {
        "exact": value == text,
        "prefix": value.startswith(text),
        "suffix": value.endswith(text),
        "contains": text in value,
    }
    return judged.get(form)


def _searched(regex: str, value: str) -> bool | None:
    """Whether the whole value matches. Only for alternatives of words and for `.*`: another engine reads the others."""
    if regex in {".*", ".+"}:
        return regex == ".*" or bool(value)
    words = _ALTERNATIVES.fullmatch(regex)
    if words is None or len(regex) > _REGEX_CHARACTERS_MAX:
        return None
    return value in words["words"].split("|")
