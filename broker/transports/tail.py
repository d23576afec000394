"""The newest records of each partition in memory, and the follower that reads them live."""

import asyncio
import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Protocol

from broker.budget import Room, weight
from broker.transports.log import TopicPartition
from schemas.records import Stored

BATCH = 2000  # records that a follower hands out at once

_offset = attrgetter("offset")


class Tail:
    """The records of one partition from `start` on, in order. Knows nothing of those before.

    What they take is held in *room*.
    """

    __slots__ = ("_records", "_room", "next", "size", "start")

    def __init__(self, room: Room, start: int = 0) -> None:
        self.start = start
        self.next = start
        self.size = 0  # bytes
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

    def halve(self) -> None:
        """Forget the older half, or all if it is one."""
        self._keep(len(self._records), self.size // 2)

    def _keep(self, count: int, size: int, before: float = math.inf) -> None:
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


class Source(Protocol):
    """What a follower reads: tails, and the history before them."""

    def tail(self, where: TopicPartition) -> Tail | None:
        """The partition's tail; None while it can not be reached."""

    async def read(self, topic: str, partition: int, start: int, limit: int) -> list[Stored]:
        """Records that may be older than the tail."""

    def forget(self, follower: "TailFollower") -> None:
        """Notify it no more."""


class TailFollower:
    """A `Follower` on a `Source` of the same event loop, which notifies it of what is new."""

    def __init__(self, source: Source, starts: Mapping[TopicPartition, int]) -> None:
        self._source = source
        self._positions = dict(starts)
        self._waiter: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None  # kept while records come before it rings
        self._closed = False

    @property
    def partitions(self) -> Iterable[TopicPartition]:
        """What it follows."""
        return self._positions

    def positions(self) -> Mapping[TopicPartition, int]:
        return self._positions

    def add(self, where: TopicPartition) -> None:
        """Follow *where* too, from its first record."""
        self._positions[where] = 0

    def notify(self) -> None:
        """Something is new, or the source can be reached again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next(self, wait: float) -> Sequence[Stored]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while not self._closed:
            if batch := await self._collect():
                return batch
            if loop.time() >= deadline:
                break
            await self._pause(deadline)
        return []

    async def _collect(self) -> list[Stored]:
        batch: list[Stored] = []
        for where, position in list(self._positions.items()):
            tail = self._source.tail(where)
            if tail is None or position >= tail.next:
                continue
            if position >= tail.start:
                found = tail.since(position, BATCH - len(batch))
                self._positions[where] = found[-1].offset + 1 if found else tail.next
                batch += found
            elif not batch:  # history is read on its own, so that no live record waits for it
                batch += await self._history(where, position, tail.start)
            if len(batch) >= BATCH:
                self._positions[where] = self._positions.pop(where)  # the others come first now
                break
        return batch

    async def _history(self, where: TopicPartition, position: int, end: int) -> list[Stored]:
        """Records from *position* on; if all before *end* have been cleaned away, none."""
        records = await self._source.read(*where, position, BATCH)
        self._positions[where] = records[-1].offset + 1 if records else end
        return records

    async def _pause(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        if self._alarm is None or self._alarm.when() > deadline:  # one that is early does no harm
            self._cancel_alarm()
            self._alarm = loop.call_at(deadline, self._ring)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _ring(self) -> None:
        self._alarm = None
        self.notify()

    def _cancel_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def close(self) -> None:
        self._closed = True
        self._cancel_alarm()
        self._source.forget(self)
        self.notify()
