"""A log that is waited for, however long it is away."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from broker.errors import LogUnavailableError, QjbError
from broker.retrying import LONGEST_PAUSE, say_unavailable, until_it_works
from broker.transports.log import Bounds, Follower, Log
from schemas.records import Stored

T = TypeVar("T")


class PatientLog:
    """Asks the log until it answers, and knows whether it does."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.partitions = log.partitions
        self.reachable = True  # whether it answered lately

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """The offsets that the partition holds."""
        return await self._ask(partial(self._log.bounds, topic, partition))

    async def read(self, topic: str, partition: int, start: int, limit: int) -> list[Stored]:
        """Records that are there now."""
        return await self._ask(partial(self._log.read, topic, partition, start, limit))

    async def next_of(self, follower: Follower, wait: float) -> Sequence[Stored]:
        """What has come; nothing while the log can not be reached."""
        try:
            found = await follower.next(wait)
        except LogUnavailableError as error:
            self._is_away(error)
            await asyncio.sleep(LONGEST_PAUSE)
            return ()
        self.reachable = True
        return found

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T:
        found = await until_it_works(question, self._is_away)
        self.reachable = True
        return found

    def _is_away(self, error: QjbError) -> None:
        if self.reachable:
            say_unavailable(error)
        self.reachable = False
