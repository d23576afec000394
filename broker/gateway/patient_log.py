"""A log that is waited for, however long it is away."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog

from broker.errors import LogUnavailableError
from broker.transports.log import Log
from schemas.records import Stored

logger = structlog.get_logger()

T = TypeVar("T")

AGAIN = 0.5  # s after which it is asked again


class PatientLog:
    """Asks the log until it answers."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.reachable = True  # whether it answered lately

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The oldest offset that is kept, and the next to come."""
        bounds = await self.ask(partial(self._log.bounds, topic, partition))
        return bounds.first, bounds.next

    async def read(self, topic: str, partition: int, start: int, limit: int) -> list[Stored]:
        """Records that are there now."""
        return await self.ask(partial(self._log.read, topic, partition, start, limit))

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """What the log answers."""
        while True:
            try:
                found = await question()
            except LogUnavailableError as error:
                await self.is_away(error)
            else:
                self.reachable = True
                return found

    async def is_away(self, error: Exception) -> None:
        """It did not answer: until it may be asked again."""
        if self.reachable:
            logger.warning("gateway.log_unavailable", error=str(error))
        self.reachable = False
        await asyncio.sleep(AGAIN)
