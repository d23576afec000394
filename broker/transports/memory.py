"""The log in memory, for tests and drills: the promises of the others, and faults on demand.

Several roles share one instance, on one event loop. Closing it keeps what it holds, so that
opening it again is what a restart is to the others.
"""

import asyncio
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from broker.budget import Room
from broker.errors import AppendFailedError, AppendUnknownError, LogUnavailableError
from broker.transports.base import BaseLog
from broker.transports.log import Bounds, Position, Reach, TopicPartition, check_size, size_of
from broker.transports.placement import Placement
from broker.transports.retention import survivors
from broker.transports.steady import LogTime
from broker.transports.tail import Tail
from broker.transports.tails import TailFollower, Tails
from broker.transports.topics import TOPICS, Topic, is_growing, of_tenant
from schemas.records import Record, Stored

CLEAN_AFTER = 10_000  # records of a partition

Store = Callable[[], list[Position]]


class Fault:
    """Something that goes wrong while it is switched on. This one: nothing.

    With *topic* it touches only that topic; *skip* lets that many appends pass first,
    *times* ends it after so many.
    """

    def __init__(self, topic: str | None = None, *, skip: int = 0, times: int | None = None):
        self.topic = topic
        self.skip = skip
        self.times = times
        self.hits = 0  # appends that it has touched
        self.changed: Callable[[], None] = lambda: None  # set by the log that has it

    def applies(self, topic: str) -> bool:
        """Whether the next append to *topic* meets it; counts that append."""
        if self.topic not in (None, topic) or self.times == self.hits:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.hits += 1
        return True

    def hides(self, topic: str) -> bool:
        """Whether nothing can be read from *topic* now."""
        return False

    async def append(self, store: Store) -> list[Position]:
        """Append by *store*, or fail in one's own way."""
        return store()


class LoseAppend(Fault):
    """Nothing is stored, and the caller is told so."""

    async def append(self, store: Store) -> list[Position]:
        raise AppendFailedError("nothing was stored: a fault is switched on")


class LoseSilently(Fault):
    """Nothing is stored, and the caller can not know."""

    async def append(self, store: Store) -> list[Position]:
        raise AppendUnknownError("the outcome is unknown: a fault is switched on")


class LoseAcknowledgement(Fault):
    """The records are stored, and the caller can not know."""

    async def append(self, store: Store) -> list[Position]:
        store()
        raise AppendUnknownError("the outcome is unknown: a fault is switched on")


class Duplicate(Fault):
    """The records are stored twice, as by a producer's retry."""

    async def append(self, store: Store) -> list[Position]:
        positions = store()
        store()
        return positions


class Delay(Fault):
    """The records are stored after *seconds*."""

    def __init__(self, seconds: float, topic: str | None = None, **when: int):
        super().__init__(topic, **when)
        self.seconds = seconds

    async def append(self, store: Store) -> list[Position]:
        await asyncio.sleep(self.seconds)
        return store()


class Hang(Fault):
    """Appends and reads stop until `release`, or until it is switched off; then they go on."""

    def __init__(self, topic: str | None = None, *, reads: bool = True, appends: bool = True):
        super().__init__(topic)
        self._reads = reads
        self._appends = appends
        self._over = asyncio.Event()

    def release(self) -> None:
        """Let everything go on."""
        self._over.set()
        self.changed()

    def hides(self, topic: str) -> bool:
        return self._reads and self.topic in (None, topic) and not self._over.is_set()

    async def over(self) -> None:
        """Wait for the release."""
        await self._over.wait()

    async def append(self, store: Store) -> list[Position]:
        if self._appends:
            await self._over.wait()
        return store()


class MemoryLog(BaseLog):
    """A `Log` in this process.

    *partitions*: for every topic that has more than one; or by topic, which adds topics. *time*:
    what it takes for the time.
    """

    reach = Reach.PROCESS

    def __init__(
        self,
        partitions: int | Mapping[str, int] | None = None,
        topics: Mapping[str, Topic] = TOPICS,
        time: LogTime | None = None,
    ) -> None:
        self._topics = dict(topics)
        self.time = time or LogTime()
        counts = {name: topic.partitions for name, topic in topics.items()}
        if isinstance(partitions, int):
            counts = {n: partitions if c > 1 else c for n, c in counts.items()}
        elif partitions is not None:
            counts |= partitions
        self.placement = Placement(topics, counts)
        self._room = Room("log", 0)  # it keeps everything, whatever that takes
        self.tails = Tails(self.read, self._hides)
        self._clean_at: dict[TopicPartition, int] = {}  # records; doubles with what stays
        for topic, count in counts.items():
            for partition in range(count):
                self._add(TopicPartition(topic, partition))
        self._open = True
        self.identity = f"memory-{uuid.uuid4().hex}"
        self.faults: list[Fault] = []

    # Faults

    def start(self, fault: Fault) -> None:
        """Switch *fault* on."""
        fault.changed = self._notify_all
        self.faults.append(fault)

    @contextmanager
    def fault(self, fault: Fault) -> Iterator[Fault]:
        """Have *fault* while the block runs."""
        self.start(fault)
        try:
            yield fault
        finally:
            self.lift(fault)

    def lift(self, fault: Fault) -> None:
        """Switch *fault* off: what it held back goes on."""
        if fault in self.faults:
            self.faults.remove(fault)
        if isinstance(fault, Hang):
            fault.release()
        self._notify_all()

    # The log

    async def open(self) -> None:
        self._open = True

    async def provide(self, names: Collection[str]) -> None:
        for name in names:
            if name not in self._topics:
                self._topics[name] = topic = of_tenant(self._topics, name)
                self.placement.add(topic.name, topic.partitions)
                self._add(TopicPartition(name, 0))

    async def append(self, topic: str, records: Sequence[Record]) -> list[Position]:
        if not self._open:
            raise AppendFailedError("the log is closed")
        for record in records:
            check_size(size_of(record))
        places = [TopicPartition(topic, self.placement.place(topic, r)) for r in records]
        await asyncio.sleep(
            0
        )  # the others suspend here, so nobody comes to rely on this one not to
        for fault in self.faults:
            if fault.applies(topic):
                return await fault.append(lambda: self._store(places, records))
        return self._store(places, records)

    async def read(self, topic: str, partition: int, start: int, limit: int = 1000) -> list[Stored]:
        await self._reachable(topic)
        return self.tails[TopicPartition(topic, partition)].since(start, limit)

    def follow(self, starts: Mapping[TopicPartition, int]) -> TailFollower:
        return self.tails.follow(starts)

    async def bounds(self, topic: str, partition: int) -> Bounds:
        await self._reachable(topic)
        tail = self.tails[TopicPartition(topic, partition)]
        return Bounds(tail.start, tail.next)

    async def watch(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        self._open = False
        await self.tails.close()

    def grow(self, topic: str, partitions: int) -> None:
        """Give *topic* more partitions, as an operator may on Kafka."""
        for partition in range(self.placement.counts[topic], partitions):
            where = TopicPartition(topic, partition)
            self._add(where)
            if is_growing(topic):
                self.tails.follow_too(where, TopicPartition(topic, 0))
        self.placement.counts[topic] = partitions

    async def clean(self, now: float | None = None) -> None:
        """Drop what is past its topic's retention at *now* (seconds since 1970), and compact."""
        for where in self.tails:
            self._clean(where, self.now() if now is None else now)

    # Its own

    def _add(self, where: TopicPartition) -> None:
        self._clean_at[where] = CLEAN_AFTER
        self.tails.add(where, Tail(self._room))

    def _hides(self, topic: str) -> bool:
        return any(fault.hides(topic) for fault in self.faults)

    async def _reachable(self, topic: str) -> None:
        if not self._open:
            raise LogUnavailableError("the log is closed")
        for fault in [f for f in self.faults if f.hides(topic)]:
            assert isinstance(fault, Hang)
            await fault.over()

    def _store(self, places: Sequence[TopicPartition], records: Sequence[Record]) -> list[Position]:
        timestamp = int(self.time.stamp() * 1000)
        positions = []
        for where, record in zip(places, records, strict=True):
            tail = self.tails[where]
            offset = tail.next
            stored = Stored(*where, offset, timestamp, record.key, record.value, record.headers)
            tail.append(stored)
            positions.append(Position(where.partition, offset))
            if len(tail) >= self._clean_at[where]:
                self._clean(where, self.now())
            self.tails.notify(where)
        return positions

    def _clean(self, where: TopicPartition, now: float) -> None:
        tail = self.tails[where]
        if (topic := self._topics.get(where.topic)) is not None:
            kept = survivors(tail.all(), topic, now)
            tail.replace(kept, kept[0].offset if kept else tail.next)
        self._clean_at[where] = 2 * len(tail) + CLEAN_AFTER

    def _notify_all(self) -> None:
        for where in self.tails:
            self.tails.notify(where)
