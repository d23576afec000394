"""The way out, live: a follower, which notices when its consumer hears nothing any more."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka.errors import (
    ConsumerStoppedError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from broker.errors import LogUnavailableError
from broker.transports.kafka.clients import BACKOFF, Clients, is_committed, quietly
from broker.transports.kafka.taking import TROUBLE
from broker.transports.log import TopicPartition
from broker.transports.tails import BATCH
from broker.transports.topics import is_growing
from schemas.records import Stored

logger = structlog.get_logger()


class KafkaFollower:
    """A `Follower` with a consumer of its own, which is made anew when it hears nothing.

    *watch*: seconds between two looks at whether that is so.
    """

    def __init__(
        self,
        clients: Clients,
        starts: Mapping[TopicPartition, int],
        forget: Callable[["KafkaFollower"], None],
        watch: float,
    ) -> None:
        self._watch_every = watch
        self._clients = clients
        self._forget = forget  # called when it is closed
        self._positions = dict(starts)
        self._anew: dict[TopicPartition, int] = {}  # where to go on instead, from the next fetch on
        self._names = {clients.taking.named(where): where for where in starts}
        self._consumer: Any = None
        self._closed = False
        self._watched = time.monotonic()
        self._watcher: asyncio.Task[None] | None = None
        self._seen: dict[TopicPartition, int] = {}  # positions at the last look
        self._silent = False
        self._unreachable = ""  # why, since the last look

    def positions(self) -> Mapping[TopicPartition, int]:
        return self._positions

    def grown(self, topic: str, added: range) -> None:
        """*topic* has more partitions: follow them too."""
        if is_growing(topic) and any(where.topic == topic for where in self._positions):
            self._anew |= {TopicPartition(topic, partition): 0 for partition in added}

    def start_over(self, topic: str) -> None:
        """*topic* was deleted and made anew: nothing of it has been read."""
        self._anew |= {where: 0 for where in self._positions if where.topic == topic}

    async def next(self, wait: float) -> Sequence[Stored]:
        deadline = time.monotonic() + wait
        while not self._closed:
            left = max(0.0, deadline - time.monotonic())
            try:
                found = await self._fetch(left)
            except TopicAuthorizationFailedError as error:
                raise LogUnavailableError(f"Kafka does not let us read: {error}") from error
            except TROUBLE as error:
                logger.warning("log.follower_retry", error=repr(error))
                await asyncio.sleep(min(left, BACKOFF))
                found = []
            if found:
                self._unreachable = ""
                return found
            if time.monotonic() >= deadline:
                if self._unreachable:
                    raise LogUnavailableError(f"Kafka does not answer: {self._unreachable}")
                break
        return []

    async def _fetch(self, wait: float) -> list[Stored]:
        if self._anew:
            self._positions |= self._anew
            self._names |= {self._clients.taking.named(where): where for where in self._anew}
            self._anew, self._silent = {}, True
        if self._silent:
            await self._drop()
        if self._consumer is None:
            self._consumer = await self._connect()
        try:
            found = await self._clients.taking.take(
                self._consumer, self._positions, min(wait, self._watch_every), BATCH
            )
        except OffsetOutOfRangeError:
            await self._reposition()
            return []
        except ConsumerStoppedError:
            return []
        except TROUBLE:
            await self._go_back()
            raise
        for record in found:
            self._positions[TopicPartition(record.topic, record.partition)] = record.offset + 1
        if not found:
            await self._pass_over()
            self._look_after()
        return found

    async def _pass_over(self) -> None:
        """Go on behind what is nothing to hand out: the ends of transactions."""
        for name, where in self._names.items():
            self._positions[where] = await self._consumer.position(name)

    async def _connect(self) -> Any:
        try:
            consumer = await self._clients.consumer(is_committed(self._positions))
        except TROUBLE as error:
            self._unreachable = repr(error)
            raise
        consumer.assign(list(self._names))
        for name, where in self._names.items():
            consumer.seek(name, self._positions[where])
        self._silent = False
        self._seen = {}
        if self._closed:
            await consumer.stop()
        return consumer

    async def _go_back(self) -> None:
        """To where it stands: what the consumer had taken when it failed, it does not give again."""
        for name, where in self._names.items():
            if await self._consumer.position(name) != self._positions[where]:
                self._consumer.seek(name, self._positions[where])

    async def _reposition(self) -> None:
        """Go on with the oldest record that is kept; also in a log that ends before the position.

        That one is not what was read before: the topic was made anew.
        """
        bounds = await self._clients.ask_bounds(list(self._positions))
        for name, where in self._names.items():
            position = self._positions[where]
            kept = bounds[where].resume(position)
            if kept < position:
                logger.error("log.shrunk", topic=where.topic, was=position, now=kept)
            if kept != position:
                self._positions[where] = kept
            self._consumer.seek(name, kept)

    def _look_after(self) -> None:
        is_looking = self._watcher is not None and not self._watcher.done()
        if is_looking or time.monotonic() - self._watched < self._watch_every:
            return
        self._watched = time.monotonic()
        self._watcher = self._clients.start(self._watch(), "kafka-watch")

    async def _watch(self) -> None:
        """Whether there is something to hear that this consumer does not hear.

        aiokafka's consumer may fall silent after a node was restarted, without an error.
        """
        try:
            bounds = await self._clients.ask_bounds(list(self._positions))
            positions = {
                where: await self._consumer.position(name) for name, where in self._names.items()
            }
        except (AttributeError, ConsumerStoppedError):
            return  # it has just been let go
        except TROUBLE as error:
            self._unreachable = repr(error)  # nothing can be heard by anybody
            return
        self._unreachable = ""
        behind = {w: p for w, p in positions.items() if p < bounds[w].next}
        if any(self._seen.get(where) == position for where, position in behind.items()):
            logger.warning("log.follower_silent", behind=len(behind))
            self._silent = True
        self._seen = behind

    async def _drop(self) -> None:
        consumer, self._consumer, self._silent = self._consumer, None, False
        if self._watcher is not None:
            self._watcher.cancel()
        if consumer is not None:
            await quietly(consumer.stop())

    async def close(self) -> None:
        self._closed = True
        self._forget(self)
        if self._watcher is not None:
            self._watcher.cancel()
        if self._consumer is not None:
            await quietly(self._consumer.stop())
