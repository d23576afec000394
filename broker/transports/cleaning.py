"""What the embedded log's writer does between transactions: retention, compaction, space given back."""

import time
from collections.abc import Mapping, Sequence

import apsw
import structlog

from broker.transports import database
from broker.transports.database import Shelf
from broker.transports.retention import TOMBSTONES_KEPT
from broker.transports.shelves import first_of
from broker.transports.steady import LogTime
from broker.transports.topics import Cleanup, Topic
from broker.transports.upkeep import Upkeep

SPARE_PAGES = 256  # 1 MiB; so many are not given back
VACUUM_STEP = 64  # pages

logger = structlog.get_logger()


class Vacuum:
    """Gives back space that nobody has used for a while, in small steps."""

    def __init__(self, db: apsw.Connection, every: float) -> None:
        self._db, self._every = db, every
        self._least = 0  # pages that were free all the time since the last look
        self._due = 0.0
        self._left = 0  # pages to give back

    def step(self) -> bool:
        """Take one step, if there is something to do. True: there is more."""
        free = free_pages(self._db)
        self._least = min(self._least, free)
        if time.monotonic() >= self._due:
            self._left = max(0, self._least - SPARE_PAGES)
            self._least, self._due = free, time.monotonic() + self._every
        if self._left:
            pages = min(self._left, VACUUM_STEP)
            give_back(self._db, pages)
            self._left -= pages
        return self._left > 0


class Cleaner:
    """Retention and compaction between transactions, in small steps, one partition at a time."""

    def __init__(
        self,
        db: apsw.Connection,
        shelves: Mapping[str, Sequence[Shelf]],
        topics: Mapping[str, Topic],
        log_time: LogTime,
        upkeep: Upkeep,
    ) -> None:
        self._db, self._upkeep = db, upkeep
        self._todo = [shelf for each in shelves.values() for shelf in each]
        self._topics = topics
        self._time = log_time
        self._next = 0
        self._vacuum = Vacuum(db, upkeep.vacuum_every)
        self._due = time.monotonic() + upkeep.clean_every

    def add(self, shelves: Sequence[Shelf]) -> None:
        """Look after *shelves*, too."""
        self._todo += shelves

    def pause(self) -> float:
        """Seconds until there is something to do."""
        return max(0.0, self._due - time.monotonic())

    def work(self) -> None:
        """Take one step, if one is due."""
        if self._todo and time.monotonic() >= self._due:
            self._step()

    def _step(self) -> None:
        shelf = self._todo[self._next]
        first, cleaned = shelf.first, shelf.cleaned
        try:
            topic = self._topics[shelf.where.topic]
            more = clean(self._db, shelf, topic, self._time.now(), self._upkeep.clean_step)
            more |= self._vacuum.step()
        except Exception as error:
            if database.is_fatal(error):
                raise
            logger.warning("log.cleaning_failed", topic=shelf.where.topic, error=repr(error))
            more, shelf.first, shelf.cleaned = False, first, cleaned  # none of it was stored
        if more:
            self._due = time.monotonic() + 0.02
            return
        self._next = (self._next + 1) % len(self._todo)
        self._due = time.monotonic() + self._upkeep.clean_every / len(self._todo)


def clean(db: apsw.Connection, shelf: Shelf, topic: Topic, now: float, step: int) -> bool:
    """Drop some of what *topic* need not keep at *now*. True: there is more to do."""
    more = False
    with db:
        if Cleanup.DELETE in topic.cleanup and topic.retention is not None:
            more |= _expire(db, shelf, int((now - topic.retention) * 1000), step)
        if Cleanup.COMPACT in topic.cleanup:
            more |= _compact(db, shelf, step)
            before = int((now - TOMBSTONES_KEPT) * 1000)
            more |= _bury(db, shelf, before, step)
        db.execute(
            "UPDATE partitions SET next = ? WHERE topic = ? AND partition = ?",
            (shelf.next, *shelf.where),  # offsets go on from here even if no record is left
        )
        db.execute("INSERT OR REPLACE INTO meta VALUES ('time', ?)", (repr(now),))
        shelf.first = first_of(db, shelf)  # before anybody can find that something is missing
    return more


def _expire(db: apsw.Connection, shelf: Shelf, before: int, step: int) -> bool:
    db.execute(
        f"DELETE FROM {shelf.blocks} WHERE timestamp < ? AND first <"
        f" (SELECT min(first) + ? FROM {shelf.blocks})",
        (before, 10 * step),
    )
    dropped = db.changes()
    if db.execute(f"SELECT 1 FROM {shelf.blocks} LIMIT 1").get is not None:
        return dropped > 0  # those that are in no block are younger
    db.execute(
        f"DELETE FROM {shelf.table} WHERE timestamp < ? AND position <"
        f" (SELECT min(position) + ? FROM {shelf.table})",
        (before, step),
    )
    return db.changes() == step


def _compact(db: apsw.Connection, shelf: Shelf, step: int) -> bool:
    fresh: list[tuple[int, bytes]] = db.execute(
        f"SELECT position, key FROM {shelf.table} WHERE position >= ? AND key IS NOT NULL"
        " ORDER BY position LIMIT ?",
        (shelf.cleaned, step),
    ).fetchall()  # type: ignore[assignment]
    newest = {key: position for position, key in fresh}
    db.executemany(
        f"DELETE FROM {shelf.table} WHERE key = ? AND position < ?",
        list(newest.items()),
    )
    shelf.cleaned = fresh[-1][0] + 1 if fresh else shelf.next
    return len(fresh) == step


def _bury(db: apsw.Connection, shelf: Shelf, before: int, step: int) -> bool:
    """Only the oldest are looked at: there may be very many that are too young to go."""
    db.execute(
        f"DELETE FROM {shelf.table} WHERE timestamp < ? AND position IN (SELECT position FROM"
        f" {shelf.table} WHERE length(value) = 0 ORDER BY position LIMIT ?)",
        (before, step),
    )
    return db.changes() == step


def free_pages(db: apsw.Connection) -> int:
    """Pages that hold nothing, and wait to be used again or given back."""
    return int(db.pragma("freelist_count"))


def give_back(db: apsw.Connection, pages: int) -> None:
    """Make the file shorter by so many free pages, if it was made for that."""
    db.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
