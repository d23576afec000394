"""Requests on their way to the log: those that come while an append is under way share the next."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from broker.budget import Room
from broker.errors import LogUnavailableError, QjbError, RecordTooLargeError, UnavailableError
from broker.transports.log import Log
from broker.transports.topics import REQUESTS
from schemas.records import Record

logger = structlog.get_logger()

PAUSES = (0.05, 1.0)  # s before an append is tried again: the first time, and at most


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A record that is to be stored, and who is told when it is."""

    record: Record
    appended: "asyncio.Future[None]"
    cost: int


class Appender:
    """Appends requests. One that was put is appended, whether somebody waits for that or not."""

    def __init__(self, log: Log, persist: float, room: Room) -> None:
        self._log, self._persist, self._room = log, persist, room
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
            self._task = asyncio.create_task(self._run(), name="gateway-append")
        return waiting.appended

    async def finish(self) -> None:
        """Until everything that was put is durable, or given up."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
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
        """Append, again if need be: a request that is on the log twice is one request."""
        pause, longest = PAUSES
        try:
            async with asyncio.timeout(self._persist):
                while not await self._try(records):
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, longest)
        except TimeoutError as error:
            raise UnavailableError("the log can not be reached; try again") from error

    async def _try(self, records: list[Record]) -> bool:
        try:
            await self._log.append(REQUESTS, records)
        except LogUnavailableError as error:
            logger.warning("intake.append_failed", error=str(error), records=len(records))
            return False
        return True

    def _settle(self, batch: Sequence[_Waiting], error: BaseException | None = None) -> None:
        self._room.give_back(sum(each.cost for each in batch))
        for each in batch:
            if each.appended.done():  # who waited for it has left
                continue
            if error is None:
                each.appended.set_result(None)
            else:
                each.appended.set_exception(error)
