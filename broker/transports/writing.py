"""How the embedded log stores: one thread commits everything that waits in one transaction.

Another brings the write-ahead log back into the file, and has what is some seconds old stored
anew, in blocks.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from pathlib import Path
from typing import Protocol, TypeVar

import apsw
import structlog

from broker.errors import AppendFailedError, AppendUnknownError, LogBrokenError
from broker.transports import database
from broker.transports.cleaning import Cleaner
from broker.transports.database import Shelf
from broker.transports.groups import Append, Between, Group
from broker.transports.steady import LogTime
from broker.transports.upkeep import Upkeep

logger = structlog.get_logger()

T = TypeVar("T")

GROUP = 4096  # records in one transaction, so that the first ones do not wait for ever
AGAIN = 0.1  # s until what has to be stored is tried again, if nothing else comes
PACKED_AT_ONCE = 12  # blocks; the writer takes some milliseconds for them


class Audience(Protocol):
    """Whom a writer tells, on the event loop."""

    def settle(self, group: Group) -> None:
        """*group* is durable."""

    def refuse(self, group: Group, error: Exception) -> None:
        """Nothing of *group* was stored, nor will be."""

    def give_up(self, error: LogBrokenError) -> None:
        """Nothing is taken any more."""


class Writer:
    """The threads that write the file at *path*, by two connections: *db* and a *second* one."""

    def __init__(
        self,
        path: Path,
        db: apsw.Connection,
        second: apsw.Connection,
        files: database.Files,
        cleaner: Cleaner,
        packed: Sequence[Shelf],
        log_time: LogTime,
        upkeep: Upkeep,
    ) -> None:
        self._upkeep = upkeep
        self._path, self._db, self._second = path, db, second
        self._files, self._cleaner, self._time = files, cleaner, log_time
        self._packed = list(packed)  # whose records are put into blocks
        self._queue: queue.SimpleQueue[Append | Between | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._long_wal = False
        self._failing = False
        self._owed: list[Append] = []  # that were read: they are stored before anything else
        self.broken: LogBrokenError | None = None
        self._threads = [
            threading.Thread(target=self._write, name="log-writer", daemon=True),
            threading.Thread(target=self._checkpoint, name="log-checkpoint", daemon=True),
        ]

    def start(self, audience: Audience) -> None:
        """Begin; *audience* is told on the loop that runs."""
        self._audience, self._loop = audience, asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def put(self, append: Append) -> None:
        """Have *append* stored as soon as can be."""
        self._queue.put(append)

    def between(self, work: Callable[[], T]) -> "Future[T]":
        """Have *work* done in the thread that writes; it may be cancelled until that is begun."""
        item = Between(work)
        self._queue.put(item)
        return item.done

    def look_after(self, shelves: Sequence[Shelf]) -> None:
        """Clean *shelves* and pack their records, too."""
        self._cleaner.add(shelves)
        self._packed += shelves

    def stop(self) -> None:
        """Store what waits, and nothing after that."""
        self._queue.put(None)
        self._stopping.set()

    def join(self) -> None:
        """Wait until that is done, and leave no more in the write-ahead log than can be helped."""
        for thread in self._threads:
            thread.join()
        self._surely(lambda: database.checkpoint(self._db, apsw.SQLITE_CHECKPOINT_TRUNCATE))

    def _write(self) -> None:
        while True:
            group, last = self._take(self._cleaner.pause())
            began = time.perf_counter()
            if group.appends:
                self._commit(group, last)
            rest = group.rest(time.perf_counter() - began)
            for item in group.between:
                self._do(item)
            if last:
                return
            self._surely(self._cleaner.work)
            if self._long_wal and self._surely(lambda: database.checkpoint(self._db)) is not None:
                self._long_wal = False
            if rest:
                self._stopping.wait(rest)

    def _take(self, pause: float) -> tuple[Group, bool]:
        """Everything that waits, and whether it is the last; waits up to *pause* for the first."""
        group, self._owed = Group(self._owed), []
        if group.appends:
            pause = min(pause, AGAIN)
        count = 0
        try:
            item = self._queue.get(timeout=pause)
            while item is not None:
                if isinstance(item, Between):
                    group.between.append(item)
                else:
                    group.appends.append(item)
                    count += len(item.records)
                if count >= GROUP:
                    break
                item = self._queue.get_nowait()
        except queue.Empty:
            return group, False
        return group, item is None

    def _commit(self, group: Group, last: bool) -> None:
        if self.broken is not None:
            self._tell(self._audience.refuse, group, self.broken)
            return
        shelves = {s.where: (s, s.next, s.timestamp) for a in group.appends for s in a.places}
        try:
            database.insert(self._db, group.number(int(self._time.stamp() * 1000)))
            self._files.check()
        except Exception as error:  # noqa: BLE001 - whatever it was, the thread goes on
            for shelf, following, timestamp in shelves.values():
                shelf.next, shelf.timestamp = following, timestamp
            if not self._failing:  # a full disk fails every append, so it is said once
                logger.error("log.append_failed", error=repr(error))
            self._failing = True
            self._note(error)
            if self.broken is None and not last:
                self._owed = [append for append in group.appends if append.read]
                group.appends = [append for append in group.appends if not append.read]
            self._tell(self._audience.refuse, group, _refusal(error))
        else:
            if self._failing:
                logger.info("log.appends_again")
            self._failing = False
            self._tell(self._audience.settle, group)

    def _do(self, item: Between) -> None:
        if not item.done.set_running_or_notify_cancel():
            return
        if self.broken is not None:
            item.done.set_exception(self.broken)
            return
        try:
            item.done.set_result(item.work())
        except apsw.Error as error:
            self._note(error)
            item.done.set_exception(_refusal(error))

    def _tell(self, what: Callable[..., None], *with_these: object) -> None:
        try:
            self._loop.call_soon_threadsafe(what, *with_these)
        except RuntimeError:  # the loop was closed without closing the log
            logger.warning("log.nobody_waits")

    def _surely(self, work: Callable[[], T]) -> T | None:
        """Do it, unless the file is not what it was; None if it is not, or was not before."""
        if self.broken is not None:
            return None
        try:
            return work()
        except apsw.Error as error:
            self._note(error)
            return None

    def _note(self, error: Exception) -> None:
        """Take nothing any more if *error* makes the file unsure."""
        if self.broken is None and database.is_fatal(error):
            logger.critical("log.broken", path=str(self._path), error=str(error))
            self.broken = _broken(self._path, error)
            self._tell(self._audience.give_up, self.broken)

    def _checkpoint(self) -> None:
        while not self._stopping.wait(self._upkeep.checkpoint_every):
            self._surely(self._files.check)
            pages = self._surely(lambda: database.checkpoint(self._second))
            # Only a writer that finds all of it checkpointed begins it anew. Under load that
            # never happens by itself, but now the rest is short.
            if pages is not None:
                self._long_wal = pages > self._upkeep.wal_pages
            self._surely(self._pack)

    def _pack(self) -> None:
        """Have what is some seconds old stored in blocks."""
        before = int((self._time.stamp() - self._upkeep.pack_after) * 1000)
        made: list[database.Block] = []
        for shelf in self._packed:
            made += database.blocks(self._second, shelf, before, PACKED_AT_ONCE - len(made))
        if made:
            stored = self.between(lambda: self._store(made))
            while not _is_over(stored, self._upkeep.checkpoint_every):
                if self._stopping.is_set():
                    return

    def _store(self, made: Sequence[database.Block]) -> None:
        try:
            database.store(self._db, made)
        except apsw.Error as error:
            if database.is_fatal(error):
                raise
            logger.warning("log.not_packed", error=str(error))  # the next time will do


def _is_over(work: "Future[None]", wait: float) -> bool:
    """Whether it was tried, waiting *wait* seconds for that."""
    return bool(wait_for([work], wait).done)


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
