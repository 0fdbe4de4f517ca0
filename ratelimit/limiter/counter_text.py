"""The name of a counter, read back for people: its domain and entries, as far as its format can be read.

The exact formats can (`counter_key.py`). The reference's joins its words with `_`, and so nobody can tell them apart.
"""

import re
from typing import Any

TEXT_MAX = 100
ENTRIES_MAX = 8
_HEAD = re.compile(rb"\{rl:(?:(?P<number>\d+)\}|(?P<kind>[a-z]\w*):|(?=\d+:|#))")
_KIND = re.compile(rb"\}?:?([a-z]\w*):")
_TEXT = re.compile(rb"(\d+):|#([0-9a-f]{64})")


def counter_text(name: bytes) -> dict[str, Any]:
    """`domain` and `entries`, pairs of key and value; or `name` as it is.

    Long texts are cut, and of many entries those that come later are left out: `more` says how many.
    `name` may have the start of a window behind it, or not.
    """
    texts = _texts(name)
    if len(texts) % 2 == 0:  # a domain, and two texts for each entry
        return {"name": _short(name.decode(errors="replace"))}
    short = [_short(text) for text in texts]
    pairs = [list(pair) for pair in zip(short[1::2], short[2::2], strict=True)]
    return {"domain": short[0], "entries": pairs[:ENTRIES_MAX], "more": max(0, len(pairs) - ENTRIES_MAX)}


def _texts(name: bytes) -> list[str]:
    """The texts that a name holds, the domain first; none where it has another format."""
    head = _HEAD.search(name)
    if head is None:
        return []
    place, texts = head.end(), []
    while place < len(name):
        kind = _KIND.match(name, place)
        if kind is not None:  # before the domain, or behind it
            place = kind.end()
            continue
        found = _TEXT.match(name, place)
        if found is None:
            break
        place = found.end()
        if found[2]:
            texts.append(f"(SHA-256 {found[2][:12].decode()}…)")
        else:
            size = int(found[1])
            texts.append(name[place : place + size].decode(errors="replace"))
            place += size
        if name[place : place + 1] != b",":
            return []
        place += 1
    return texts


def _short(text: str) -> str:
    return text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX - 1]}…"
