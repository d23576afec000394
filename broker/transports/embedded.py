"""The embedded log: one SQLite file, one process, nothing else to install.

Appends wait in a queue. One thread takes everything that is in it, commits it in one transaction
and tells the event loop once, so that the more wait, the less each costs. Another thread brings
the write-ahead log back into the file, a third reads history. What is new goes to followers from
memory. What is some seconds old is stored anew, in blocks.
"""

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import apsw
import structlog

from broker.budget import MIB, Room
from broker.errors import (
    AppendFailedError,
    AppendUnknownError,
    LogBrokenError,
    LogUnavailableError,
    SettingsError,
)
from broker.transports import database, joined
from broker.transports.brief import brief
from broker.transports.cleaning import Cleaner
from broker.transports.columns import Columns, Kind, in_columns, no_kind
from broker.transports.database import Shelf
from broker.transports.files import make_database
from broker.transports.lock import FileLock
from broker.transports.log import Bounds, Position, Reach, TopicPartition, check_size, stored_as
from broker.transports.passing import PassingTopics
from broker.transports.placement import Placement
from broker.transports.steady import LogTime
from broker.transports.tail import Tail, TailFollower
from broker.transports.topics import TOPICS, Topic
from schemas.records import Record, Stored

logger = structlog.get_logger()

T = TypeVar("T")

AHEAD = 4  # reads of columns that wait for the one who reads: it always has something to do
GROUP = 4096  # records in one transaction, so that the first ones do not wait for ever
BEHIND = 10**9  # offsets by which a start's records in memory stand behind those of the last one
TAIL = 10_000  # records of a partition that followers get from memory
TAIL_BYTES = 16 * MIB
TAILS_BYTES = 64 * MIB  # of all partitions together
CHECKPOINT_EVERY = 0.25  # seconds
WAL_PAGES = 16_384  # 64 MiB: from here on the writer helps to begin the write-ahead log anew
PACK_AFTER = 5.0  # seconds
PACKED_AT_ONCE = 12  # blocks; the writer takes some milliseconds for them


@dataclass(slots=True)
class _Append:
    """Records that wait to be stored; of each its partition, and its headers as they are stored."""

    records: Sequence[Record]
    places: list[Shelf]
    headers: list[bytes]
    done: "asyncio.Future[list[Position]]"


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Records to be stored anew; *stored* is set when that was tried."""

    blocks: Sequence[database.Block]
    stored: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class _Group:
    """Appends that are stored together."""

    appends: list[_Append]
    blocks: list[_Blocks] = field(default_factory=list)
    stored: dict[TopicPartition, list[Stored]] = field(default_factory=dict)
    positions: list[list[Position]] = field(default_factory=list)


class EmbeddedLog:
    """A `Log` in the file at *path*, which is this process's alone while it is open."""

    reach = Reach.PROCESS

    def __init__(
        self,
        path: Path,
        *,
        topics: Mapping[str, Topic] = TOPICS,
        partitions: int = 1,
        clock: Callable[[], float] = time.time,
        memory: int = TAILS_BYTES,  # for the newest records of all partitions together
    ) -> None:
        self.path = path
        self._memory = memory
        self._topics = topics
        self._lasting = {name: topic for name, topic in topics.items() if not topic.passing}
        self._packed = {name for name, topic in topics.items() if database.packs(topic)}
        counts = {name: min(partitions, topic.partitions) for name, topic in topics.items()}
        self._placement = Placement(topics, counts)
        self._clock = clock
        self._time = LogTime(clock)
        self._lock = FileLock(lock := path.with_name(path.name + ".lock"))
        self._files = database.Files((path, path.with_name(path.name + "-wal"), lock))
        self._shelves: dict[str, list[Shelf]] = {}
        self._tails: dict[TopicPartition, Tail] = {}
        self._followers: dict[TopicPartition, set[TailFollower]] = {}
        self._queue: queue.SimpleQueue[_Append | _Blocks | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._long_wal = False
        self._failing = False
        self._broken: LogBrokenError | None = None
        self._threads: list[threading.Thread] = []
        self._open = False
        self.identity = ""

    # The log

    async def open(self) -> None:
        self._lock.take(f"QJB_LOG: {self.path}")
        try:
            await asyncio.to_thread(self._open_file)
        except apsw.Error as error:
            self._lock.release()
            raise SettingsError(f"QJB_LOG: {self.path} can not be opened: {error}") from error
        except BaseException:
            self._lock.release()
            raise
        self._loop = asyncio.get_running_loop()
        self._broken = None
        self._breaks: asyncio.Future[None] = self._loop.create_future()
        self._reader = ThreadPoolExecutor(1, "log-reader")
        self._stopping.clear()
        self._threads = [
            threading.Thread(target=self._write, name="log-writer", daemon=True),
            threading.Thread(target=self._checkpoint, name="log-checkpoint", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self._open = True

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
            places.append(shelves[self._placement.place(topic, record)])
            # Those that go into a block are brief once they are in it.
            short = database.pack(record.headers) if is_packed else brief(record.headers, key)
            headers.append(short)
            check_size(len(record.value) + len(short) + len(key))
        done: asyncio.Future[list[Position]] = self._loop.create_future()
        self._queue.put(_Append(records, places, headers, done))
        return await done

    async def read(self, topic: str, partition: int, start: int, limit: int = 1000) -> list[Stored]:
        tail = self._tails[TopicPartition(topic, partition)]
        if start >= tail.start or topic in self._passing:
            return tail.since(start, limit)
        shelf = self._shelves[topic][partition]
        return await self._in_words(self._in_reader(self._select, shelf, start, limit))

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
        return self._columns(self._shelves[topic][partition], start, limit, by_key)

    async def _columns(
        self, shelf: Shelf, start: int, limit: int, by_key: Kind
    ) -> AsyncGenerator[Columns, None]:
        only_keys = False

        def following() -> Columns:
            nonlocal start, only_keys
            page = joined.columns(self._history, shelf, start, limit, by_key, only_keys)
            start, only_keys = page.next, all(map(by_key, page.kinds.values()))
            return page

        reads = deque(self._in_reader(following) for _ in range(AHEAD))
        try:
            while (page := await self._in_words(reads.popleft())).keys:
                reads.append(self._in_reader(following))
                yield page
        finally:
            for each in reads:
                if not each.cancel():
                    each.exception()

    def _in_reader(self, read: Callable[..., T], *what: object) -> "asyncio.Future[T]":
        if not self._open:
            raise LogUnavailableError("the log is closed")
        return self._loop.run_in_executor(self._reader, read, *what)

    async def _in_words(self, read: "asyncio.Future[T]") -> T:
        try:
            return await read
        except apsw.Error as error:
            raise LogUnavailableError(f"the log can not be read: {error}") from error

    def content_of(self, topic: str) -> str:
        return self.identity

    def follow(self, starts: Mapping[TopicPartition, int]) -> TailFollower:
        follower = TailFollower(self, starts)
        for where in starts:
            self._followers[where].add(follower)
        return follower

    async def bounds(self, topic: str, partition: int) -> Bounds:
        tail = self._tails[TopicPartition(topic, partition)]
        if topic in self._passing:
            return Bounds(tail.start, tail.next)
        return Bounds(min(self._shelves[topic][partition].first, tail.next), tail.next)

    def partitions(self, topic: str) -> int:
        return self._placement.counts[topic]

    def partition_of(self, topic: str, key: bytes) -> int:
        return self._placement.of_key(topic, key)

    def now(self) -> float:
        return self._time.now()

    async def watch(self) -> None:
        await asyncio.shield(self._breaks)

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        for follower in {f for followers in self._followers.values() for f in followers}:
            await follower.close()
        self._queue.put(None)
        self._stopping.set()
        await asyncio.to_thread(self._close_file)

    # What followers use

    def tail(self, where: TopicPartition) -> Tail | None:
        return self._tails[where]

    def forget(self, follower: TailFollower) -> None:
        for where in follower.partitions:
            self._followers[where].discard(follower)

    # On the loop

    def _settle(self, group: _Group) -> None:
        """The group is durable: readable first, then acknowledged."""
        for where, records in group.stored.items():
            tail = self._tails[where]
            tail.extend(records)
            tail.trim(TAIL, TAIL_BYTES)
            while self._room.is_over:
                max(self._lasting_tails, key=_size).halve()
            for follower in self._followers[where]:
                follower.notify()
        for append, positions in zip(group.appends, group.positions, strict=True):
            if not append.done.done():  # its caller may have been cancelled
                append.done.set_result(positions)

    def _refuse(self, group: _Group, error: Exception) -> None:
        for append in group.appends:
            if not append.done.done():
                append.done.set_exception(error)

    def _give_up(self, error: LogBrokenError) -> None:
        if not self._breaks.done():
            self._breaks.set_exception(error)
            self._breaks.exception()  # nobody may be watching

    # In threads

    def _open_file(self) -> None:
        make_database(self.path, database.MARK, "QJB_LOG")
        self._db = database.connect(self.path)
        self.identity = database.prepare(self._db)
        self._shelves, counts = {}, self._placement.counts
        lasting = {name: counts[name] for name in self._lasting}
        passing = {name: topic for name, topic in self._topics.items() if topic.passing}
        start = database.begin(self._db, passing) * BEHIND
        placed = database.placed(self._db, lasting)
        for shelf in database.shelves(self._db, self._lasting, lasting):
            self._shelves.setdefault(shelf.where.topic, []).append(shelf)
        self._time = LogTime(self._clock, known=self._known_time())
        counts |= {name: len(each) for name, each in self._shelves.items()}
        self._placement = Placement(self._topics, counts, placed)
        self._room = Room("log", self._memory)
        self._tails = {
            shelf.where: Tail(self._room, shelf.next)
            for each in self._shelves.values()
            for shelf in each
        }
        self._lasting_tails = list(self._tails.values())
        self._passing = PassingTopics(passing, self._placement, self._followers, self._time, start)
        self._tails |= self._passing.tails
        self._followers.clear()
        self._followers.update((where, set()) for where in self._tails)
        self._files.note()
        self._history = database.connect(self.path)
        self._history.limit(apsw.SQLITE_LIMIT_LENGTH, joined.MOST)
        self._second = database.connect(self.path)

    def _known_time(self) -> float:
        """What time it was when somebody last looked; in a file that does not say, at its newest."""
        if (known := database.known_time(self._db)) is not None:
            return known
        newest = max(shelf.timestamp for each in self._shelves.values() for shelf in each)
        return min(self._clock(), newest / 1000 or self._clock())

    def _close_file(self) -> None:
        for thread in self._threads:
            thread.join()
        self._reader.shutdown()
        connections = (self._second, self._history, self._db)
        if self._broken is None:
            self._surely(lambda: database.checkpoint(self._db, apsw.SQLITE_CHECKPOINT_TRUNCATE))
        for connection in connections:
            if self._broken is not None:
                database.leave_as_it_is(connection)
            connection.close()
        self._lock.release()

    def _select(self, shelf: Shelf, start: int, limit: int) -> list[Stored]:
        return database.select(self._history, shelf, start, limit)

    def _write(self) -> None:
        cleaner = Cleaner(self._db, self._shelves, self._topics, self._time)
        while True:
            group, last = self._take(cleaner.pause())
            if group.appends:
                self._commit(group)
            for made in group.blocks:
                self._surely(lambda made=made: self._store(made))  # type: ignore[misc]
                made.stored.set()
            if last:
                return
            self._surely(cleaner.work)
            if self._long_wal and self._surely(lambda: database.checkpoint(self._db)) is not None:
                self._long_wal = False

    def _take(self, pause: float) -> tuple[_Group, bool]:
        """Everything that waits, and whether it is the last; waits up to *pause* for the first."""
        group = _Group([])
        count = 0
        try:
            item = self._queue.get(timeout=pause)
            while item is not None:
                if isinstance(item, _Blocks):
                    group.blocks.append(item)
                else:
                    group.appends.append(item)
                    count += len(item.records)
                if count >= GROUP:
                    break
                item = self._queue.get_nowait()
        except queue.Empty:
            return group, False
        return group, item is None

    def _commit(self, group: _Group) -> None:
        if self._broken is not None:
            self._tell(self._refuse, group, self._broken)
            return
        shelves = {s.where: (s, s.next, s.timestamp) for a in group.appends for s in a.places}
        try:
            database.insert(self._db, self._number(group))
            self._files.check()
        except Exception as error:  # noqa: BLE001 - whatever it was, the thread goes on
            for shelf, following, timestamp in shelves.values():
                shelf.next, shelf.timestamp = following, timestamp
            if not self._failing:  # a full disk fails every append, so it is said once
                logger.error("log.append_failed", error=repr(error))
            self._failing = True
            self._note(error)
            self._tell(self._refuse, group, _refusal(error))
        else:
            if self._failing:
                logger.info("log.appends_again")
            self._failing = False
            self._tell(self._settle, group)

    def _number(self, group: _Group) -> dict[str, list[database.Row]]:
        """Give the group's records their offsets; the rows to insert, by table."""
        rows: dict[str, list[database.Row]] = {}
        now = int(self._time.stamp() * 1000)
        for append in group.appends:
            positions = []
            for record, shelf, headers in zip(
                append.records, append.places, append.headers, strict=True
            ):
                offset = shelf.next
                shelf.next = offset + 1
                if now > shelf.timestamp:
                    shelf.timestamp = now
                time_ = shelf.timestamp
                stored = stored_as(record, shelf.where, offset, time_)
                group.stored.setdefault(shelf.where, []).append(stored)
                rows.setdefault(shelf.table, []).append(
                    (offset, time_, record.key, record.value, headers)
                )
                positions.append(Position(shelf.where.partition, offset))
            group.positions.append(positions)
        return rows

    def _tell(self, what: Callable[..., None], *with_these: object) -> None:
        try:
            self._loop.call_soon_threadsafe(what, *with_these)
        except RuntimeError:  # the loop was closed without closing the log
            logger.warning("log.nobody_waits")

    def _surely(self, work: Callable[[], T]) -> T | None:
        """Do it, unless the file is not what it was; None if it is not, or was not before."""
        if self._broken is not None:
            return None
        try:
            return work()
        except apsw.Error as error:
            self._note(error)
            return None

    def _note(self, error: Exception) -> None:
        """Take nothing any more if *error* makes the file unsure."""
        if self._broken is None and database.is_fatal(error):
            logger.critical("log.broken", path=str(self.path), error=str(error))
            self._broken = _broken(self.path, error)
            self._tell(self._give_up, self._broken)

    def _checkpoint(self) -> None:
        while not self._stopping.wait(CHECKPOINT_EVERY):
            self._surely(self._files.check)
            pages = self._surely(lambda: database.checkpoint(self._second))
            # Only a writer that finds all of it checkpointed begins it anew. Under load that
            # never happens by itself, but now the rest is short.
            if pages is not None:
                self._long_wal = pages > WAL_PAGES
            self._surely(self._pack)

    def _pack(self) -> None:
        """Have what is some seconds old stored in blocks."""
        before = int((self._time.stamp() - PACK_AFTER) * 1000)
        made: list[database.Block] = []
        for shelf in (shelf for each in self._shelves.values() for shelf in each):
            if shelf.where.topic in self._packed:
                made += database.blocks(self._second, shelf, before, PACKED_AT_ONCE - len(made))
        if made:
            blocks = _Blocks(made)
            self._queue.put(blocks)
            while not blocks.stored.wait(CHECKPOINT_EVERY) and not self._stopping.is_set():
                pass

    def _store(self, made: _Blocks) -> None:
        try:
            database.store(self._db, made.blocks)
        except apsw.Error as error:
            if database.is_fatal(error):
                raise
            logger.warning("log.not_packed", error=str(error))  # the next time will do


def _size(tail: Tail) -> int:
    return tail.size


def _refusal(error: Exception) -> Exception:
    """What the appenders of a failed transaction are told."""
    if database.is_fatal(error):  # a start may show it, or may not
        return AppendUnknownError(f"the log's disk does not work: {error}")
    return AppendFailedError(f"the log took nothing: {type(error).__name__}: {error}")


def _broken(path: Path, error: Exception) -> LogBrokenError:
    return LogBrokenError(
        f"QJB_LOG: {path} is not sure to be on the disk any more ({error}), so nothing more is"
        " taken; see to the disk, then start again: what was acknowledged before is read from it"
    )
