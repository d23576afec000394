"""Batches as they stand on the cluster: what there is to read where aiokafka's consumer reads nothing.

A header's name may be any bytes, a batch may be damaged or packed in a way that nobody here knows.
The consumer then raises each time it is asked, and gives nothing that stands behind.
Source: `DefaultRecordBatch` and `DefaultRecord` of Apache Kafka (format 2).
"""

import asyncio
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import structlog
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.client import ConnectionGroup
from aiokafka.errors import CorruptRecordException, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c, decode_varint

from broker.transports.log import TopicPartition
from schemas.records import Headers, Stored

GivenHeaders = Sequence[tuple[str, bytes | None]]  # as a client gives them: a value may be missing

FETCHED = 2 * 1024 * 1024  # bytes at once; one batch comes whole, however large it is
POLL = 0.05  # seconds that a node may wait for what comes: of several nodes the slowest counts
MOST_HEADERS = 1_000  # of a record; nobody means the others, and each costs as much as a record
LEFT_OUT = "headers-left-out"  # header behind them: how many more there are
UNREADABLE = "unreadable"  # header of what stands for a batch that nobody can read: why

_HEAD = struct.Struct(">qiibIhiqqqhii")
_LENGTH = struct.Struct(">qi")  # the first of these: first offset, bytes behind this
_CHECKED_AT = 21
_PACKED, _APPEND_TIME, _TRANSACTION, _CONTROL = 0x07, 0x08, 0x10, 0x20  # in the attributes

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Fetched:
    """Batches, and what of them was aborted: producers, each from an offset on."""

    data: bytes
    aborted: Sequence[tuple[int, int]] = ()


async def fetch(
    client: Any, starts: Mapping[KafkaPartition, int], wait: float, isolation: int
) -> dict[KafkaPartition, Fetched]:
    """Whole batches of the partitions, from those with the offsets *starts* on. Raises `KafkaError`.

    Waits for something to come, but no longer than *wait* seconds, nor than `POLL`.
    """
    nodes: dict[int, dict[str, list[tuple[int, int, int]]]] = {}
    for name, start in starts.items():
        topics = nodes.setdefault(client.cluster.leader_for_partition(name), {})
        topics.setdefault(name.topic, []).append((name.partition, start, FETCHED))
    ms = int(1000 * min(wait, POLL))
    asked = [
        # Not on the connection on which the consumer's own fetch may wait for what comes.
        client.send(
            node,
            FetchRequest(ms, 1, FETCHED, isolation, list(topics.items())),
            group=ConnectionGroup.COORDINATION,
        )
        for node, topics in nodes.items()
    ]
    return {
        name: fetched
        for answer in await asyncio.gather(*asked)
        for name, fetched in _fetched(answer)
    }


def _fetched(answer: Any) -> Iterator[tuple[KafkaPartition, Fetched]]:
    for topic, parts in answer.topics:
        for partition, code, *more, data in parts:
            name = KafkaPartition(topic, partition)
            if code:
                raise for_code(code)(name)
            # Where it stands differs from version to version; nothing else there is a list.
            aborted = next((field for field in more if isinstance(field, list)), ())
            yield name, Fetched(bytes(data or b""), aborted)


def read(fetched: Fetched, where: TopicPartition, start: int) -> tuple[list[Stored], int]:
    """The records in *fetched* from offset *start* on, and the offset behind them.

    A batch that nobody can read is one record, at its last offset: the bytes of the batch, without
    a key, and a header that says why. What was aborted, and what marks the end of a transaction, is
    left out.
    """
    found: list[Stored] = []
    end = start
    aborted = _Aborted(sorted(fetched.aborted, key=lambda each: -each[1]))
    for batch in _batches(fetched.data):
        end = max(end, batch.last + 1)
        if not aborted.has(batch):
            found += (record for record in _records(batch, where) if record.offset >= start)
    return found, end


@dataclass(frozen=True, slots=True)
class _Batch:
    whole: bytes
    first: int  # offset
    last: int
    format: int
    checksum: int
    attributes: int
    first_time: int
    newest_time: int
    producer: int
    count: int


@dataclass(slots=True)
class _Aborted:
    """Whose transactions were aborted, batch after batch. *later*: producer and offset, last first."""

    later: list[tuple[int, int]]
    now: set[int] = field(default_factory=set)

    def has(self, batch: _Batch) -> bool:
        """Whether *batch*, the next one, is of an aborted transaction."""
        while self.later and self.later[-1][1] <= batch.first:
            self.now.add(self.later.pop()[0])
        if not batch.attributes & _TRANSACTION or batch.producer not in self.now:
            return False
        if batch.attributes & _CONTROL:  # the end of one: the producer goes on with another
            self.now.discard(batch.producer)
        return True


def _batches(data: bytes) -> Iterator[_Batch]:
    at = 0
    while at + _HEAD.size <= len(data):
        _, length = _LENGTH.unpack_from(data, at)
        whole = data[at : at + _LENGTH.size + length]
        at += _LENGTH.size + length
        if at > len(data) or length < _HEAD.size - _LENGTH.size:
            return  # cut off: it comes with the next fetch
        first, _, _, kind, checksum, attributes, more, oldest, newest, producer, *_, count = (
            _HEAD.unpack_from(whole)
        )
        last = first + more
        yield _Batch(
            whole, first, last, kind, checksum, attributes, oldest, newest, producer, count
        )


def _records(batch: _Batch, where: TopicPartition) -> list[Stored]:
    try:
        return list(_read(batch, where))
    except Exception as error:  # whatever a codec or a parser may raise
        why = f"{type(error).__name__}: {error}"[:500]
        logger.exception("log.batch_unreadable", topic=where.topic, offset=batch.first)
        headers = ((UNREADABLE, why.encode(errors="replace")),)
        return [Stored(*where, batch.last, batch.newest_time, None, batch.whole, headers)]


def _read(batch: _Batch, where: TopicPartition) -> Iterator[Stored]:
    if batch.format != 2 or batch.attributes & _PACKED:
        unpacked: Any = MemoryRecords(batch.whole).next_batch()
        for r in unpacked:
            value, headers = r.value or b"", whole(r.headers, len(r.headers))
            yield Stored(*where, r.offset, r.timestamp, r.key, value, headers)
        return
    if calc_crc32c(batch.whole[_CHECKED_AT:]) != batch.checksum:
        raise CorruptRecordException("the checksum is wrong")
    if batch.attributes & _CONTROL:
        return
    cursor = _Cursor(bytearray(batch.whole), _HEAD.size)
    for _ in range(batch.count):
        yield cursor.record(batch, where)


@dataclass(slots=True)
class _Cursor:
    """Reads on in a batch that is not packed."""

    data: bytearray
    at: int

    def record(self, batch: _Batch, where: TopicPartition) -> Stored:
        end = self.number() + self.at
        self.at += 1  # attributes, which say nothing
        time = batch.first_time + self.number()
        if batch.attributes & _APPEND_TIME:
            time = batch.newest_time
        offset = batch.first + self.number()
        key, value = self.blob(), self.blob()
        count = self.number()
        headers = [(self.text(), self.blob()) for _ in range(min(count, MOST_HEADERS))]
        if self.at > end or (self.at < end and count <= MOST_HEADERS):
            raise CorruptRecordException(f"a record ends at {self.at}, not at {end}")
        self.at = end
        return Stored(*where, offset, time, key, value or b"", whole(headers, count))

    def number(self) -> int:
        found, self.at = decode_varint(self.data, self.at)
        return int(found)

    def blob(self) -> bytes | None:
        length = self.number()
        if length < 0:
            return None
        self.at += length
        return bytes(self.data[self.at - length : self.at])

    def text(self) -> str:
        """A name: of UTF-8, but nobody has looked."""
        return (self.blob() or b"").decode(errors="replace")


def whole(headers: GivenHeaders, count: int) -> Headers:
    """The first of *count* headers as ours, which always have a value."""
    found = tuple((name, value or b"") for name, value in islice(headers, MOST_HEADERS))
    return found if count <= MOST_HEADERS else (*found, (LEFT_OUT, b"%d" % (count - MOST_HEADERS)))
