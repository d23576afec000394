"""Topics as roles write to them: until it is done, and many records in one append."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from broker.budget import Room
from broker.errors import QjbError, RecordTooLargeError, UnavailableError
from broker.retrying import say_unavailable, until_it_works
from broker.transports.log import Log, Position
from schemas.records import Record
from schemas.topics import Topic

TOGETHER = 1000  # records in one append


async def append_surely(
    log: Log, topic: Topic[Any, ...], records: Sequence[Record]
) -> list[Position]:
    """Append *records*, perhaps twice; returns when they are there. Raises `RecordTooLargeError`."""
    say = partial(say_unavailable, topic=topic.name)
    return await until_it_works(partial(log.append, topic.name, records), say)


class _Waiting(NamedTuple):
    """A record that is to be stored, and who is told when it is."""

    record: Record
    appended: "asyncio.Future[None]"
    cost: int


class Appender:
    """Appends to *topic*; records that come while an append is under way share the next one.

    One that was put is appended, whether somebody waits for that or not; perhaps twice. It is given
    up after *persist* seconds; None: never. What waits takes its cost of *room*.
    """

    def __init__(
        self, log: Log, topic: Topic[Any, ...], room: Room, persist: float | None = None
    ) -> None:
        self._log, self._topic, self._room, self._persist = log, topic, room, persist
        self._name = f"append to {topic.name}"
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def append(self, record: Record) -> None:
        """Until *record* is durable. Raises `UnavailableError` or `RecordTooLargeError`."""
        await self.put(record)

    def put(self, record: Record, cost: int = 0) -> "asyncio.Future[None]":
        """Have *record* appended; done once it is durable, with the errors of `append`.

        Until then it takes *cost* bytes of the room. Raises `UnavailableError` if there are none.
        """
        self._room.take(cost)
        waiting = _Waiting(record, asyncio.get_running_loop().create_future(), cost)
        self._waiting.append(waiting)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=self._name)
        return waiting.appended

    async def finish(self) -> None:
        """Until everything that was put is durable, or given up."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def drop(self) -> None:
        """Let go of everything that was put at once."""
        if self._task is not None:
            self._task.cancel()
            await self.finish()

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
            try:
                await self._store([each.record for each in batch])
            except RecordTooLargeError as error:
                await self._one_by_one(batch, error)
            except UnavailableError as error:  # those who came meanwhile need not find out as well
                self._settle(batch + self._waiting, error)
                self._waiting = []
            except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it was
                self._settle(batch, error)
            else:
                self._settle(batch)
        self._task = None

    async def _one_by_one(self, batch: Sequence[_Waiting], error: RecordTooLargeError) -> None:
        """One of them was too large for the log, and none was stored."""
        if len(batch) == 1:
            self._settle(batch, error)
            return
        for each in batch:
            try:
                await self._store([each.record])
            except QjbError as own:
                self._settle([each], own)
            else:
                self._settle([each])

    async def _store(self, records: list[Record]) -> None:
        if self._persist is None:
            await append_surely(self._log, self._topic, records)
            return
        try:
            async with asyncio.timeout(self._persist):
                await append_surely(self._log, self._topic, records)
        except TimeoutError as error:
            raise UnavailableError("the log can not be reached; try again") from error

    def _settle(self, batch: Sequence[_Waiting], error: BaseException | None = None) -> None:
        self._room.give_back(sum(each.cost for each in batch))
        for each in batch:
            if each.appended.done():  # who waited for it has left
                continue
            if error is None:
                each.appended.set_result(None)
            else:
                each.appended.set_exception(error)
