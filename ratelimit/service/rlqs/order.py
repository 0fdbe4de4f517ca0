"""The order in which an Envoy reports its buckets: most often the same as in the message before."""

from collections.abc import Sequence


class Order:
    """Buckets by their ids as they came: `came`. `buckets` are those ids in canonical form.

    They are compared as one text: each id by itself would be brought into the processor's caches for it.
    """

    __slots__ = ("_joined", "_lengths", "buckets")

    def __init__(self, came: Sequence[bytes], buckets: list[bytes]) -> None:
        self.buckets = buckets
        self._lengths = list(map(len, came))
        self._joined = b"".join(came)

    def is_of(self, came: Sequence[bytes]) -> bool:
        """Whether these are the same in the same order."""
        return list(map(len, came)) == self._lengths and b"".join(came) == self._joined
