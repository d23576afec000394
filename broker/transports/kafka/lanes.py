"""The way in: one lane per partition, which sends what waits as one batch, one at a time."""

import asyncio
import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from broker.errors import AppendFailedError, AppendUnknownError, QjbError, RecordTooLargeError
from broker.transports.kafka.clients import Clients
from broker.transports.kafka.taking import TROUBLE
from broker.transports.log import Position, TopicPartition
from schemas.records import Record

logger = structlog.get_logger()

WAITING_BYTES = 64 * 1024 * 1024  # what may wait to be sent


class Lanes:
    """The lanes to all partitions."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._lanes: dict[TopicPartition, Lane] = {}
        self._waiting = 0  # bytes

    async def append(
        self, topic: str, records: Sequence[Record], shares: Mapping[int, Sequence[int]], size: int
    ) -> list[Position]:
        """Like the log's; *shares* are the indices of the records for each partition."""
        if self._waiting > WAITING_BYTES:
            raise AppendFailedError("too much waits for Kafka already")
        self._waiting += size
        try:
            if len(shares) == 1:
                return await self._lane(topic, next(iter(shares))).append(records)
            results = await asyncio.gather(
                *(
                    self._lane(topic, partition).append([records[i] for i in share])
                    for partition, share in shares.items()
                ),
                return_exceptions=True,
            )
        finally:
            self._waiting -= size
        return _merged(list(shares.values()), results)

    def _lane(self, topic: str, partition: int) -> "Lane":
        where = TopicPartition(topic, partition)
        if (lane := self._lanes.get(where)) is None:
            lane = self._lanes[where] = Lane(self._clients, where)
        return lane

    async def finish(self) -> None:
        """Wait for what is being appended, then give up."""
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=self._clients.close_within)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@dataclass(slots=True)
class _Waiting:
    """Records of one append that go to one partition."""

    records: Sequence[Record]
    done: "asyncio.Future[list[Position]]"
    sent: int = 0  # records that went into batches
    positions: list[Position] = field(default_factory=list)


class Lane:
    """Sends the records of one partition in order, one batch at a time."""

    def __init__(self, clients: Clients, where: TopicPartition) -> None:
        self._clients = clients
        self._where = where
        self._name = clients.taking.named(where)
        self._queue: deque[_Waiting] = deque()
        self.task: asyncio.Task[None] | None = None

    async def append(self, records: Sequence[Record]) -> list[Position]:
        """Like the log's, for records of this partition."""
        waiting = _Waiting(records, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self.task is None:
            self.task = asyncio.create_task(self._send_all(), name=f"lane-{self._where}")
        try:
            return await waiting.done
        except asyncio.CancelledError:
            if not waiting.sent and waiting in self._queue:
                self._queue.remove(waiting)
            raise

    async def _send_all(self) -> None:
        try:
            while self._queue:
                await self._send()
        except asyncio.CancelledError:
            self._refuse_all(AppendUnknownError("the log was closed meanwhile"))
            raise
        except Exception as error:
            logger.exception("log.lane_failed", topic=self._where.topic)
            self._refuse_all(AppendUnknownError(f"appending failed: {error!r}"))
        finally:
            self.task = None

    def _refuse_all(self, error: QjbError) -> None:
        for waiting in self._queue:
            if not waiting.done.done():
                waiting.done.set_exception(error)
        self._queue.clear()

    async def _send(self) -> None:
        producer = await self._producer()
        if not self._queue:  # given up meanwhile
            return
        batch = producer.create_batch()
        shares = self._fill(batch)
        try:
            sent = await producer.send_batch(
                batch, self._name.topic, partition=self._name.partition
            )
            answer = await sent
        except (KafkaError, TimeoutError) as error:
            await self._failed(producer, shares, error)
            return
        self._acknowledge(shares, answer.offset)

    async def _producer(self) -> Any:
        while True:
            try:
                return await self._clients.producer()
            except TROUBLE as error:
                logger.warning("log.no_producer", error=repr(error))
                await asyncio.sleep(1.0)

    def _fill(self, batch: Any) -> list[tuple[_Waiting, int]]:
        """Put what waits into *batch*, as far as it goes; how many of each append went in."""
        shares = []
        for waiting in self._queue:
            before = waiting.sent
            for record in itertools.islice(waiting.records, before, None):
                # Without a value a record with a key deletes, where the topic is compacted.
                value = record.value or (None if record.key is not None else b"")
                if not batch.append(
                    timestamp=None, key=record.key, value=value, headers=list(record.headers)
                ):
                    break
                waiting.sent += 1
            if waiting.sent > before:
                shares.append((waiting, waiting.sent - before))
            if waiting.sent < len(waiting.records):
                break
        batch.close()
        return shares

    def _acknowledge(self, shares: list[tuple[_Waiting, int]], offset: int) -> None:
        if offset < 0:  # stored before, by a try whose answer was lost; where, is not known
            self._refuse(shares, AppendUnknownError("Kafka stored it, but does not say where"))
            return
        for waiting, count in shares:
            partition = self._where.partition
            waiting.positions += [Position(partition, offset + i) for i in range(count)]
            offset += count
            if waiting.sent == len(waiting.records):
                self._queue.remove(waiting)
                if not waiting.done.done():  # its caller may have been cancelled
                    waiting.done.set_result(waiting.positions)

    async def _failed(
        self, producer: Any, shares: list[tuple[_Waiting, int]], error: Exception
    ) -> None:
        logger.error("log.append_failed", topic=self._where.topic, error=repr(error))
        self._refuse(shares, _refusal(error, self._where.topic))
        # Even where it is certain that nothing was stored, the batch has taken sequence numbers,
        # and the cluster would refuse those that follow.
        await self._clients.replace_producer(producer)

    def _refuse(self, shares: list[tuple[_Waiting, int]], error: QjbError) -> None:
        for waiting, count in shares:
            self._queue.remove(waiting)
            refusal = error
            if waiting.sent > count:  # an earlier batch took its first records
                refusal = AppendUnknownError(error.message)
            if not waiting.done.done():
                waiting.done.set_exception(refusal)


def _refusal(error: Exception, topic: str) -> QjbError:
    if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
        return RecordTooLargeError(f"Kafka's limit for {topic} is lower than ours: {error}")
    if isinstance(error, TopicAuthorizationFailedError):
        return AppendFailedError(f"Kafka does not let us write to {topic}")
    return AppendUnknownError(f"Kafka did not say whether it stored the records: {error}")


def _merged(
    shares: Sequence[Sequence[int]], results: Sequence[list[Position] | BaseException]
) -> list[Position]:
    """The positions in the order of the records; the worst that happened, if something did."""
    errors = [result for result in results if isinstance(result, BaseException)]
    if errors:
        stored_some = len(errors) < len(results)
        first = next((e for e in errors if isinstance(e, AppendUnknownError)), errors[0])
        if stored_some and not isinstance(first, AppendUnknownError):
            raise AppendUnknownError(f"some of the records were not stored: {first}") from first
        raise first
    positions: dict[int, Position] = {}
    for share, result in zip(shares, results, strict=True):
        assert isinstance(result, list)
        positions.update(zip(share, result, strict=True))
    return [positions[index] for index in range(len(positions))]
