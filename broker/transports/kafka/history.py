"""The way out, for what is past: bounded reads."""

import asyncio
from typing import Any

from broker.transports.kafka.clients import REQUEST, Clients, quietly
from broker.transports.log import TopicPartition
from schemas.records import Stored


class Reader:
    """Reads history, one call at a time, on a consumer of its own.

    *committed*: of topics of which nothing else is read.
    """

    def __init__(self, clients: Clients, committed: bool = False) -> None:
        self._clients = clients
        self._committed = committed
        self._lock = asyncio.Lock()
        self._consumer: Any = None
        self._next: tuple[TopicPartition, int] | None = None  # what comes without seeking

    async def read(self, where: TopicPartition, start: int, limit: int) -> list[Stored]:
        """Like the log's, but raises `KafkaError`."""
        bounds = (await self._clients.ask_bounds([where]))[where]
        start = max(start, bounds.first)
        if start >= bounds.next:
            return []
        async with self._lock:
            try:
                return await self._read(where, start, limit, bounds.next)
            except BaseException:
                await self.stop()
                raise

    async def _read(self, where: TopicPartition, start: int, limit: int, end: int) -> list[Stored]:
        if self._consumer is None:
            self._consumer = await self._clients.consumer(self._committed)
        name = self._clients.taking.named(where)
        if self._next != (where, start):
            self._consumer.assign([name])
            self._consumer.seek(name, start)
        found: list[Stored] = []
        async with asyncio.timeout(REQUEST):
            while not found and await self._consumer.position(name) < end:
                at = {where: await self._consumer.position(name)}
                found += await self._clients.taking.take(self._consumer, at, 0.1, limit)
        self._next = (where, found[-1].offset + 1) if found else None
        if not found or found[-1].offset + 1 >= end:
            self._consumer.unsubscribe()  # nobody waits for what comes
            self._next = None
        return found

    async def stop(self) -> None:
        """Disconnect; the next read connects again."""
        consumer, self._consumer, self._next = self._consumer, None, None
        if consumer is not None:
            await quietly(consumer.stop())
