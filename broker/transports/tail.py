"""The newest records of a partition, in memory."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter

from broker.budget import Room, weight
from schemas.records import Stored

_offset = attrgetter("offset")


class Tail:
    """The records of one partition from `start` on, in order. Knows nothing of those before.

    What they take is held in *room*. From `sure` on they are nowhere else yet: none is forgotten.
    """

    __slots__ = ("_records", "_room", "next", "size", "start", "sure")

    def __init__(self, room: Room, start: int = 0) -> None:
        self.start = start
        self.next = start
        self.size = 0  # bytes
        self.sure = math.inf
        self._records: list[Stored] = []
        self._room = room

    def __len__(self) -> int:
        return len(self._records)

    def append(self, record: Stored) -> None:
        """Put *record* at the end."""
        self._records.append(record)
        self._grow(weight(record))
        self.next = record.offset + 1

    def extend(self, records: Sequence[Stored]) -> None:
        """Put *records* at the end."""
        self._records += records
        self._grow(sum(map(weight, records)))
        self.next = records[-1].offset + 1

    def since(self, offset: int, limit: int) -> list[Stored]:
        """Up to *limit* records from *offset* on."""
        index = bisect_left(self._records, offset, key=_offset)
        return self._records[index : index + limit]

    def is_over(self, count: int, size: int) -> bool:
        """Whether it holds more than twice *count* records or *size* bytes."""
        return len(self._records) > 2 * count or self.size > 2 * size

    def trim(self, count: int, size: int, before: float = math.inf) -> None:
        """Forget the oldest, down to *count* records or *size* bytes, once it holds twice that.

        Only of those that stand *before* an offset.
        """
        if self.is_over(count, size):
            self._keep(count, size, before)

    def halve(self) -> bool:
        """Forget the older half, or all if it is one; whether there was one to forget."""
        before = self.start
        self._keep(len(self._records), self.size // 2)
        return self.start > before

    def _keep(self, count: int, size: int, before: float = math.inf) -> None:
        before = min(before, self.sure)
        keep, left = len(self._records), self.size
        while keep and (keep > count or left > size):
            if (oldest := self._records[-keep]).offset >= before:
                break
            left -= weight(oldest)
            keep -= 1
        del self._records[: len(self._records) - keep]
        self._grow(left - self.size)
        self.start = self._records[0].offset if self._records else self.next

    def replace(self, records: list[Stored], start: int) -> None:
        """Hold *records* instead; `next` stays what it was."""
        self._records = records
        self._grow(sum(map(weight, records)) - self.size)
        self.start = start

    def _grow(self, size: int) -> None:
        self.size += size
        self._room.hold(size)

    def all(self) -> Sequence[Stored]:
        """What it holds."""
        return self._records
