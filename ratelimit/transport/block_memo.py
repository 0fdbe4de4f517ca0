"""Header blocks that came before on a connection: block -> the head that it meant.

A client repeats its block byte for byte, unless a tracing field changes with each call. A block means the same again as
long as it does not depend on the dynamic table, or that has not changed; where our SETTINGS say HEADER_TABLE_SIZE 0
there is none. Blocks that differ only in the values of fields without meaning here are recognised by a *template*:
fixed bytes, one text, fixed bytes, one text, ..., a fixed end. The texts are skipped, undecoded: nobody reads them,
since only heads of direct methods, whose metadata nobody sees, have templates. So nobody checks their Huffman code and
their characters either: a request with such a fault is served, where the full decoder would refuse it.
"""

from collections.abc import Sequence
from itertools import pairwise

from ratelimit.transport.headers import NO_TEXT, HeaderBlock
from ratelimit.transport.request_head import RequestHead, is_ordinary

BLOCKS_MAX = 64
BLOCK_BYTES_MAX = 1024
TEMPLATES_MAX = 8
# A text whose length takes one octet.
SHORT_MAX = 126


class Template:
    """`first`, then for each of `parts` a text and the part, then a text and one of the ends in `heads`."""

    __slots__ = ("first", "heads", "parts")

    def __init__(self, block: bytes, texts: Sequence[tuple[int, int]]) -> None:
        self.first = block[: texts[0][0]]
        self.parts = [block[one[1] : next_[0]] for one, next_ in pairwise(texts)]
        self.heads: dict[bytes, RequestHead] = {}

    def keep(self, end: bytes, head: RequestHead) -> None:
        """Remember the head of blocks that end so."""
        if len(self.heads) >= BLOCKS_MAX:
            self.heads.clear()
        self.heads[end] = head

    def match(self, data: bytes, start: int, end: int) -> RequestHead | None:
        """The head of the block `data[start:end]`, None where it is of another kind."""
        first = self.first
        if not data.startswith(first, start):
            return None
        at = start + len(first)
        try:
            for part in self.parts:
                size = data[at] & 0x7F
                at += size + 1
                if size > SHORT_MAX or not data.startswith(part, at):
                    return None
                at += len(part)
            size = data[at] & 0x7F
        except IndexError:
            return None
        at += size + 1
        if size > SHORT_MAX or at > end:
            return None
        return self.heads.get(data[at:end])


class BlockMemo:
    """The blocks of one connection. `exact` is the block that was found last, None where a template knew it."""

    def __init__(self) -> None:
        self._heads: dict[bytes, RequestHead] = {}
        self._templates: list[Template] = []
        # By the names of its fields: the last block of its kind, and how it was read.
        self._kinds: dict[tuple[bytes, ...], tuple[bytes, HeaderBlock]] = {}
        self.exact: bytes | None = b""

    def find(self, block: bytes) -> RequestHead | None:
        """The head of a block that is known."""
        return self.find_in(block, 0, len(block))

    def find_in(self, data: bytes, start: int, end: int) -> RequestHead | None:
        """The head of the block `data[start:end]`. Who came with a changing block comes with the next one."""
        if self.exact is None:
            for template in self._templates:
                head = template.match(data, start, end)
                if head is not None:
                    return head
        block = data[start:end]
        head = self._heads.get(block)
        if head is not None:
            self.exact = block
            return head
        for template in self._templates:
            head = template.match(data, start, end)
            if head is not None:
                self.exact = None
                return head
        return None

    def table_changed(self) -> None:
        """What depended on the dynamic table means something else now."""
        self._heads.clear()

    def learn(self, block: bytes, decoded: HeaderBlock, head: RequestHead) -> None:
        """Remember what a block meant. Only a block that does not change the dynamic table."""
        if len(block) > BLOCK_BYTES_MAX:
            return
        if len(self._heads) >= BLOCKS_MAX:
            self._heads.clear()
        self._heads[block] = head
        if head.call.direct is not None and not decoded.reads_table:
            self._learn_template(block, decoded, head)

    def _learn_template(self, block: bytes, decoded: HeaderBlock, head: RequestHead) -> None:
        """Where this block differs from the last of its kind only in texts without meaning, expect more of them."""
        names = tuple(name for name, _ in decoded.fields)
        known = self._kinds.get(names)
        if len(self._kinds) >= TEMPLATES_MAX:
            self._kinds.clear()
        self._kinds[names] = block, decoded
        if known is None:
            return
        texts = _differing(known[1], decoded)
        if not texts:
            return
        template = self.template_of(block, texts, decoded)
        for other in self._templates:
            if other.first == template.first and other.parts == template.parts:
                template = other
        if template not in self._templates:
            self._templates = [template, *self._templates][:TEMPLATES_MAX]
        template.keep(block[texts[-1][1] :], head)

    def template_of(self, block: bytes, texts: Sequence[tuple[int, int]], _: HeaderBlock) -> Template:
        """A new template of `block`, whose texts that change stand at `texts`."""
        return Template(block, texts)


def _differing(one: HeaderBlock, other: HeaderBlock) -> list[tuple[int, int]]:
    """Where in `other` the texts stand that differ; empty where something with a meaning differs, or nothing."""
    texts = []
    for (name, value), (_, before), text in zip(other.fields, one.fields, other.texts, strict=True):
        if value == before:
            continue
        if text == NO_TEXT or text[1] - text[0] - 1 > SHORT_MAX or not is_ordinary(name):
            return []
        texts.append(text)
    return texts
