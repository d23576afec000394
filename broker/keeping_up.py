"""A table that is folded from a topic of one partition, kept up with it. Roles of a process share it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from broker.reading import follow, take_said
from broker.retrying import until_it_works
from broker.transports.log import Log, TopicPartition
from schemas.records import Stored
from schemas.topics import Topic

AT_ONCE = 25  # records that are read before others get a turn: each may take a millisecond

M = TypeVar("M")


class KeptUp(Generic[M]):
    """What *topic* says, up to a moment ago; whoever folds it overrides `take` and `forget`.

    *log* must be open when it is first `in_use`.
    """

    def __init__(self, log: Log, topic: Topic[M, ...]) -> None:
        self._log, self._topic = log, topic
        self._place = TopicPartition(topic.name, 0)  # all is there, whatever partitions there are
        self._next = 0  # the offset that is read next
        self._heard = 0  # the offset behind what a follower gave last
        self.has_read = False  # whether it has once taken in what there was
        self._users = 0
        self._keeping_up: asyncio.Task[None] | None = None
        self._reading: asyncio.Future[None] | None = None
        self._next_reading: asyncio.Future[None] | None = None

    def take(self, said: M) -> None:
        """Take in what the topic says. Raises `UnreadableError` if nobody may say that."""
        raise NotImplementedError

    def forget(self, key: bytes) -> None:
        """What a record with that key said holds no more."""
        raise NotImplementedError

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[None]:
        """While this runs, it keeps up with the log."""
        self._users += 1
        if self._keeping_up is None:
            self._keeping_up = asyncio.create_task(self._keep_up(), name=self._topic.title.lower())
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                task, self._keeping_up = self._keeping_up, None
                task.cancel()
                await asyncio.wait([task])

    async def _keep_up(self) -> None:
        await until_it_works(self.catch_up)
        self._heard = self._next
        await follow(self._log, self._topic, {self._place: self._heard}, self._hear)

    async def catch_up(self) -> None:
        """Until what is on the log now is taken in. Raises `LogUnavailableError`.

        One reading serves all who ask before it begins.
        """
        if self._next_reading is None:
            self._next_reading = asyncio.ensure_future(self._read_on_after(self._reading))
        await asyncio.shield(self._next_reading)

    async def _read_on_after(self, reading: "asyncio.Future[None] | None") -> None:
        if reading is not None:
            await asyncio.wait([reading])
        self._reading, self._next_reading = self._next_reading, None
        await self._read_on()

    async def _read_on(self) -> None:
        before = self._next
        bounds = await self._log.bounds(*self._place)
        if (start := bounds.resume(before)) != before:
            self._next = start
        while (position := self._next) < bounds.next:
            if not (records := await self._log.read(*self._place, position, AT_ONCE)):
                break
            if self._next < position:  # the topic was made anew meanwhile: that begins before these
                continue
            take_said(self._topic, records, self._take)
            self._next = max(self._next, records[-1].offset + 1)
            await asyncio.sleep(0)
        self.has_read = True

    def _hear(self, record: Stored, said: M | None) -> None:
        """A follower gives in order, so what comes before what it gave is of a topic made anew."""
        if record.offset < self._heard:
            self._next = record.offset
        self._heard = record.offset + 1
        self._take(record, said)

    def _take(self, record: Stored, said: M | None) -> None:
        """Both who follows and who catches up come by here, each in order."""
        if record.offset < self._next:
            return
        self._next = record.offset + 1
        if said is None:
            self.forget(record.key or b"")
        else:
            self.take(said)
