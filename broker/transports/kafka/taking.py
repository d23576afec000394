"""Takes what consumers have fetched, also past what they can not read."""

import time
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from aiokafka import ConsumerRecord
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import CorruptRecordException, KafkaError, UnsupportedCodecError

from broker.transports.kafka import batches
from broker.transports.log import TopicPartition
from schemas.records import Stored

logger = structlog.get_logger()

CALM = 1.0  # seconds without anything to read by hand, after which consumers are used again

# What tells that the cluster, or a node of it, could not be reached or did not do its part.
TROUBLE = (KafkaError, OSError, TimeoutError)
# What tells that it did, and that aiokafka can not read what came; its parsers raise others as well.
UNREAD = (CorruptRecordException, UnsupportedCodecError)


class Taking:
    """Reads for all consumers of one log; *prefix* stands before the names of its topics there."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.newest = 0  # ms; the highest time that a record was stored at, of those that were read
        # Consumers that have met what they can not read, with when something was read by hand last:
        # a return to the consumer takes a moment, so that is not done before all is calm again.
        self._by_hand: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    def named(self, where: TopicPartition) -> KafkaPartition:
        """The partition as the cluster calls it."""
        return KafkaPartition(self._prefix + where.topic, where.partition)

    async def take(
        self, consumer: Any, starts: Mapping[TopicPartition, int], wait: float, limit: int
    ) -> list[Stored]:
        """What has come for *consumer*, which stands at *starts*; waits up to *wait* seconds.

        At most *limit* records. Raises `KafkaError` when nothing can be had, never for what came.
        """
        if consumer not in self._by_hand:
            try:
                found = await consumer.getmany(timeout_ms=int(wait * 1000), max_records=limit)
            except Exception as error:
                if isinstance(error, TROUBLE) and not isinstance(error, UNREAD):
                    raise
                logger.warning("log.read_by_hand", error=repr(error)[:500])
                self._by_hand[consumer] = time.monotonic()
                consumer.pause(*map(self.named, starts))
            else:
                return [self._stored(record) for batch in found.values() for record in batch]
        return await self._take_by_hand(consumer, starts, wait, limit)

    async def _take_by_hand(
        self, consumer: Any, starts: Mapping[TopicPartition, int], wait: float, limit: int
    ) -> list[Stored]:
        """Read past what the consumer raises for; it goes on behind that."""
        taken: list[Stored] = []
        names = {self.named(where): where for where in starts}
        asked = {name: starts[where] for name, where in names.items()}
        isolation = consumer._fetcher._isolation_level
        try:
            fetched = await batches.fetch(consumer._client, asked, wait, isolation)
        except TROUBLE:  # the consumer finds out who leads now
            self._end_by_hand(consumer, names)
            raise
        for name, batch in fetched.items():
            where, start = names[name], asked[name]
            found, end = batches.read(batch, where, start)
            if len(found) > limit - len(taken):
                found = found[: limit - len(taken)]
                end = found[-1].offset + 1 if found else start
            taken += found
            if end > start:
                consumer.seek(name, end)
        if taken:
            self._by_hand[consumer] = time.monotonic()
        elif time.monotonic() - self._by_hand[consumer] > CALM:
            self._end_by_hand(consumer, names)
        return taken

    def _end_by_hand(self, consumer: Any, names: Iterable[KafkaPartition]) -> None:
        del self._by_hand[consumer]
        consumer.resume(*names)

    def _stored(self, record: ConsumerRecord) -> Stored:
        if record.timestamp > self.newest:
            self.newest = record.timestamp
        return Stored(
            record.topic[len(self._prefix) :],
            record.partition,
            record.offset,
            record.timestamp,
            record.key,
            record.value or b"",
            batches.whole(record.headers, len(record.headers)),
        )
