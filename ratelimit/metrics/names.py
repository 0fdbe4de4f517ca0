"""Stat names, made safe at one place for every reader: Prometheus, statsd and /stats."""

import hashlib
import re
from collections.abc import Mapping, Sequence

NAME_BYTES_MAX = 200
OTHER = "__other__"
# The Go service reads ASCII digits only, and so do we: its dashboards know the names it makes.
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)
# `:` and `|` are statsd's; a control character or a line end would forge a line of it or of /stats; a surrogate cannot
# be written as UTF-8. Each becomes one `_`, so a name never changes its length.
_UNSAFE = re.compile("[:|\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DIGEST_CHARACTERS = 8
# What stands before a tag in a name; and the names that may have some of their own.
TAG = ".__"
_WITH_TAGS = "ratelimit.memcache."


def stat_name(text: str) -> str:
    """`text` as part of a stat name, in at most NAME_BYTES_MAX bytes of UTF-8.

    A longer one keeps its beginning and gets `~` and 8 hexadecimal digits of its SHA-256 behind it, so that two long
    names stay two. The work is bounded before anything else is done: a caller may choose names of 100 KB.
    """
    head = sanitise(text[: NAME_BYTES_MAX + 1])
    if len(head.encode()) <= NAME_BYTES_MAX:
        return head
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_CHARACTERS]
    room = NAME_BYTES_MAX - len(digest) - 1
    return f"{head.encode()[:room].decode(errors='ignore')}~{digest}"


def sanitise(text: str) -> str:
    """`text` without what statsd or a line of text gives a meaning, and with the dots of IPv4 addresses as `_`."""
    return _IPV4.sub(lambda found: found[0].replace(".", "_"), _UNSAFE.sub("_", text))


def tags_suffix(tags: Mapping[str, str]) -> str:
    """EXTRA_TAGS as part of a stat name, sorted by key: `.__a=b.__foo=bar`."""
    return "".join(f".__{sanitise(key)}={sanitise(value).replace('.', '_')}" for key, value in sorted(tags.items()))


def name_with_tags(name: str, suffix: str) -> str:
    """`name` with a suffix of tags; where it has some of its own, all of them by their names."""
    head, own = split_tags(name)
    if not own:
        return head + suffix
    return head + "".join(f"{TAG}{tag}" for tag in sorted((*own, *suffix.split(TAG)[1:])))


def split_tags(name: str) -> tuple[str, Sequence[str]]:
    """A name and the tags that stand in it, `key=value`: only our own names have some, whatever a caller chooses."""
    if not name.startswith(_WITH_TAGS):
        return name, ()
    head, *tags = name.split(TAG)
    return head, tags
