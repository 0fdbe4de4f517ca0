"""What waits to be written to one Envoy: the last word on each bucket, so it holds no more than its buckets."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeAlias, TypeVar

from ratelimit.quota.assignment import Abandon, Assign, Probe, Push
from ratelimit.service.rlqs.bindings import Binding

Waiting: TypeAlias = tuple[Binding, Push]
_Value = TypeVar("_Value")


class Outbox:
    """`parts` are those of a response, as nearly all are: said before, or a rule; `pushes` are what is new.

    A bucket waits in one of them.
    """

    __slots__ = ("_tell", "parts", "pushes")

    def __init__(self, tell: Callable[[Binding, Assign | Abandon], bytes]) -> None:
        self.parts: dict[bytes, bytes] = {}
        self.pushes: dict[bytes, Waiting] = {}
        # Makes the part of what is written now.
        self._tell = tell

    def __bool__(self) -> bool:
        return bool(self.parts or self.pushes)

    def repeat(self, bucket: bytes, part: bytes) -> None:
        """Say this of a bucket."""
        self.pushes.pop(bucket, None)
        self.parts[bucket] = part

    def repeat_all(self, buckets: Sequence[bytes], parts: Sequence[bytes]) -> None:
        """`repeat` of each."""
        if self.pushes:
            for bucket in buckets:
                self.pushes.pop(bucket, None)
        self.parts.update(zip(buckets, parts, strict=True))

    def put(self, binding: Binding, push: Push) -> None:
        """Say this of a bucket. A question is asked with what waits, where a ledger says that."""
        bucket = binding.bucket
        if isinstance(push.action, Probe):
            if bucket in self.pushes:
                push = replace(push, action=self.pushes[bucket][1].action)
            elif bucket in self.parts:
                if binding.told is None or self.parts[bucket] is not binding.part:
                    return
                push = replace(push, action=binding.told)
        self.parts.pop(bucket, None)
        self.pushes[bucket] = (binding, push)

    def take(self, most: int) -> tuple[list[bytes], list[Waiting]]:
        """The parts of the next response, of so many buckets, and what is asked about behind it."""
        pushes, self.pushes = _cut(self.pushes, most)
        parts, self.parts = _cut(self.parts, most - len(pushes))
        new = [
            self._tell(binding, push.action) for binding, push in pushes.values() if not isinstance(push.action, Probe)
        ]
        return [*new, *parts.values()], [waiting for waiting in pushes.values() if waiting[1].asks]


def _cut(waiting: dict[bytes, _Value], most: int) -> tuple[dict[bytes, _Value], dict[bytes, _Value]]:
    if len(waiting) <= most:
        return waiting, {}
    each = iter(waiting.items())
    return dict(islice(each, most)), dict(each)
