"""The tails of a log's partitions, and who follows them."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence

from broker.transports.log import TopicPartition
from broker.transports.tail import Tail
from schemas.records import Stored

BATCH = 2000  # records that a follower hands out at once

Read = Callable[[str, int, int, int], Awaitable[list[Stored]]]


class TailFollower:
    """A `Follower` of *tails* on the same event loop, which notify it of what is new."""

    def __init__(self, tails: "Tails", starts: Mapping[TopicPartition, int]) -> None:
        self._tails = tails
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
            tail = self._tails.tail(where)
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
        records = await self._tails.read(*where, position, BATCH)
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
        self._tails.forget(self)
        self.notify()


class Tails(Mapping[TopicPartition, Tail]):
    """Tells followers what is new. What is older than a tail they get by *read*.

    *hides* says of which topics nothing can be reached now.
    """

    def __init__(self, read: Read, hides: Callable[[str], bool] = lambda topic: False) -> None:
        self.read, self._hides = read, hides
        self._tails: dict[TopicPartition, Tail] = {}
        self._followers: dict[TopicPartition, set[TailFollower]] = {}

    def __getitem__(self, where: TopicPartition) -> Tail:
        return self._tails[where]

    def __iter__(self) -> Iterator[TopicPartition]:
        return iter(self._tails)

    def __len__(self) -> int:
        return len(self._tails)

    def add(self, where: TopicPartition, tail: Tail) -> None:
        """Have *tail* at *where*, which nobody follows yet."""
        self._tails[where], self._followers[where] = tail, set()

    def follow(self, starts: Mapping[TopicPartition, int]) -> TailFollower:
        """Somebody new who follows. Raises `KeyError` where there is no tail."""
        follower = TailFollower(self, starts)
        for followers in [self._followers[where] for where in starts]:  # all are there, or none
            followers.add(follower)
        return follower

    def follow_too(self, where: TopicPartition, first: TopicPartition) -> None:
        """Have those who follow *first* follow *where*, which is new, as well."""
        for follower in self.followers(first):
            self._followers[where].add(follower)
            follower.add(where)

    def followers(self, where: TopicPartition) -> Collection[TailFollower]:
        """Those who follow *where*."""
        return self._followers[where]

    def notify(self, where: TopicPartition) -> None:
        """There is something new at *where*."""
        for follower in self._followers[where]:
            follower.notify()

    async def close(self) -> None:
        """Close those who follow."""
        for follower in {f for followers in self._followers.values() for f in followers}:
            await follower.close()

    # What followers use

    def tail(self, where: TopicPartition) -> Tail | None:
        """The partition's tail; None while it can not be reached."""
        return None if self._hides(where.topic) else self._tails[where]

    def forget(self, follower: TailFollower) -> None:
        """Notify it no more."""
        for where in follower.partitions:
            self._followers[where].discard(follower)
