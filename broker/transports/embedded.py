"""The embedded log: one SQLite file, one process, nothing else to install.

Appends wait in a queue. One thread takes everything that is in it, commits it in one transaction
and tells the event loop once, so that the more wait, the less each costs (`writing.py`). Another
one reads history. What is new goes to followers from memory.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import apsw
import structlog

from broker.errors import (
    AppendFailedError,
    LogBrokenError,
    LogUnavailableError,
    SettingsError,
)
from broker.transports import database, shelves
from broker.transports.base import BaseLog
from broker.transports.brief import brief
from broker.transports.cleaning import Cleaner
from broker.transports.columns import Columns, Kind, in_columns, no_kind
from broker.transports.database import Shelf
from broker.transports.early import Early
from broker.transports.files import make_database
from broker.transports.groups import Append, Group
from broker.transports.history import History
from broker.transports.lock import FileLock
from broker.transports.log import Bounds, Position, Reach, TopicPartition, check_size
from broker.transports.newest import Newest
from broker.transports.passing import PassingTopics
from broker.transports.placement import Placement
from broker.transports.steady import LogTime
from broker.transports.tails import TailFollower, Tails
from broker.transports.topics import TOPICS, Topic, of_tenant
from broker.transports.upkeep import Upkeep
from broker.transports.writing import Writer
from schemas.limits import MIB
from schemas.records import Record, Stored, pack

logger = structlog.get_logger()

T = TypeVar("T")

BEHIND = 10**9  # offsets by which a start's records in memory stand behind those of the last one
TAILS_BYTES = 64 * MIB  # of all partitions together


class EmbeddedLog(BaseLog):
    """A `Log` in the file at *path*, which this process alone has open; others ask it."""

    reach = Reach.MACHINE

    def __init__(
        self,
        path: Path,
        *,
        topics: Mapping[str, Topic] = TOPICS,
        partitions: int = 1,
        clock: Callable[[], float] = time.time,
        memory: int = TAILS_BYTES,  # for the newest records of all partitions together
        upkeep: Upkeep = Upkeep(),  # noqa: B008 -- it is frozen
    ) -> None:
        self.path, self._memory, self._upkeep = path, memory, upkeep
        self._topics, self._clock = dict(topics), clock
        self._lasting = {name: topic for name, topic in topics.items() if not topic.passing}
        self._packed = {name for name, topic in topics.items() if database.packs(topic)}
        counts = {name: min(partitions, topic.partitions) for name, topic in topics.items()}
        self.placement = Placement(topics, counts)
        self.time = LogTime(clock, believed_after=upkeep.believed_after)
        self._lock = FileLock(lock := path.with_name(path.name + ".lock"))
        self._files = database.Files((path, path.with_name(path.name + "-wal"), lock))
        self._shelves: dict[str, list[Shelf]] = {}
        self.tails = Tails(self.read)
        self._providing = asyncio.Lock()
        self._open, self.identity = False, ""

    # The log

    async def open(self) -> None:
        self._lock.take(f"QJB_LOG: {self.path}")
        try:
            await asyncio.to_thread(self._open_file)
        except BaseException as error:
            self._lock.release()
            if isinstance(error, apsw.Error):
                raise SettingsError(f"QJB_LOG: {self.path} can not be opened: {error}") from error
            raise
        self._loop = asyncio.get_running_loop()
        self._breaks: asyncio.Future[None] = self._loop.create_future()
        self._writer.start(self)
        self._open = True

    async def provide(self, names: Collection[str]) -> None:
        async with self._providing:
            for name in names:
                if name not in self._topics:
                    await self._provide(of_tenant(self._topics, name))

    async def _provide(self, topic: Topic) -> None:
        if not self._open:
            raise LogUnavailableError("the log is closed")
        made = self._writer.between(lambda: shelves.added(self._db, topic))
        found, placed = await asyncio.wrap_future(made)
        self._topics[topic.name] = self._lasting[topic.name] = topic
        self._packed.add(topic.name)
        self.placement.add(topic.name, len(found), placed)
        self._shelves[topic.name] = found
        for shelf in found:
            self._newest.add(shelf.where, shelf.next)
        self._writer.look_after(found)

    async def append(self, topic: str, records: Sequence[Record]) -> list[Position]:
        if not self._open:
            raise AppendFailedError("the log is closed")
        if topic in self._passing:
            return await self._passing.append(topic, records)
        if not records:
            return []
        shelves, is_packed = self._shelves[topic], topic in self._packed
        places, headers = [], []
        for record in records:
            key = record.key or b""
            places.append(shelves[self.placement.place(topic, record)])
            # Those that go into a block are brief once they are in it.
            short = pack(record.headers) if is_packed else brief(record.headers, key)
            headers.append(short)
            check_size(len(record.value) + len(short) + len(key))
        done: asyncio.Future[list[Position]] = self._loop.create_future()
        append = Append(records, places, headers, is_packed, done)
        if (early := self._topics[topic].early) is not None:
            self._early.show(append, early)
        self._writer.put(append)
        return await done

    async def read(self, topic: str, partition: int, start: int, limit: int = 1000) -> list[Stored]:
        tail = self.tails[TopicPartition(topic, partition)]
        if start >= tail.start or topic in self._passing:
            return tail.since(start, limit)
        shelf = self._shelves[topic][partition]
        return await self._history.read(shelf, start, limit)

    def columns(
        self,
        topic: str,
        partition: int,
        start: int,
        limit: int = 1000,
        by_key: Kind = no_kind,
    ) -> AsyncGenerator[Columns, None]:
        if topic not in self._shelves or topic in self._packed:
            return in_columns(self.read, topic, partition, start, limit)
        return self._history.columns(self._shelves[topic][partition], start, limit, by_key)

    def follow(self, starts: Mapping[TopicPartition, int]) -> TailFollower:
        return self.tails.follow(starts)

    async def bounds(self, topic: str, partition: int) -> Bounds:
        tail = self.tails[TopicPartition(topic, partition)]
        if topic in self._passing:
            return Bounds(tail.start, tail.next)
        return Bounds(min(self._shelves[topic][partition].first, tail.next), tail.next)

    async def watch(self) -> None:
        await asyncio.shield(self._breaks)

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        await self.tails.close()
        self._history.is_open = False
        self._writer.stop()
        await asyncio.to_thread(self._close_file)

    # On the loop

    def settle(self, group: Group) -> None:
        """The group is durable: readable first, then acknowledged."""
        for where in self._early.settle(group):
            self._newest.trim(where)
        for where, records in group.stored.items():
            self.tails[where].extend(records)
            self._newest.trim(where)
            self.tails.notify(where)
        group.acknowledge()

    def refuse(self, group: Group, error: Exception) -> None:
        self._early.refuse(group)
        group.refuse(error)

    def give_up(self, error: LogBrokenError) -> None:
        if not self._breaks.done():
            self._breaks.set_exception(error)
            self._breaks.exception()  # nobody may be watching

    # In threads

    def _open_file(self) -> None:
        make_database(self.path, database.MARK, "QJB_LOG")
        self._db = self._connect()
        self.identity = shelves.prepare(self._db)
        self._shelves, counts = {}, self.placement.counts
        lasting = {name: counts[name] for name in self._lasting}
        passing = {name: topic for name, topic in self._topics.items() if topic.passing}
        start = shelves.begin(self._db, passing) * BEHIND
        placed = shelves.placed(self._db, lasting)
        found = shelves.found(self._db, self._lasting, lasting)
        for shelf in found:
            self._shelves.setdefault(shelf.where.topic, []).append(shelf)
        known = shelves.known_time(self._db, found, self._clock())
        believed_after = self._upkeep.believed_after
        self.time = LogTime(self._clock, known=known, believed_after=believed_after)
        counts |= {name: len(each) for name, each in self._shelves.items()}
        self.placement = Placement(self._topics, counts, placed)
        self.tails = Tails(self.read)
        self._newest = Newest(self.tails, self._memory, self._upkeep.tail)
        for shelf in found:
            self._newest.add(shelf.where, shelf.next)
        self._passing = PassingTopics(passing, self.placement, self.tails, self.time, start)
        self._early = Early(self.tails, self.time)
        self._files.note()
        self._history = History(self._connect())
        self._second = self._connect()
        packed = [shelf for name in self._packed for shelf in self._shelves.get(name, ())]
        cleaner = Cleaner(self._db, self._shelves, self._topics, self.time, self._upkeep)
        self._writer = Writer(
            *(self.path, self._db, self._second, self._files),
            *(cleaner, packed, self.time, self._upkeep),
        )

    def _connect(self) -> apsw.Connection:
        return database.connect(self.path, self._upkeep.busy_timeout)

    def _close_file(self) -> None:
        self._writer.join()
        self._history.stop()
        for connection in (self._second, self._history.db, self._db):
            if self._writer.broken is not None:
                database.leave_as_it_is(connection)
            connection.close()
        self._lock.release()
