"""What the embedded log's writer does between transactions: retention, compaction, space given back."""

import time
from collections.abc import Mapping, Sequence

import apsw
import structlog

from broker.transports import database
from broker.transports.database import Shelf
from broker.transports.steady import LogTime
from broker.transports.topics import Topic

CLEAN_EVERY = 5.0  # seconds
CLEAN_STEP = 500  # rows; some milliseconds, for which appends wait
VACUUM_EVERY = 20.0  # seconds: what nobody has used for so long is given back
SPARE_PAGES = 256  # 1 MiB; so many are not given back
VACUUM_STEP = 64  # pages

logger = structlog.get_logger()


class Vacuum:
    """Gives back space that nobody has used for a while, in small steps."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._least = 0  # pages that were free all the time since the last look
        self._due = 0.0
        self._left = 0  # pages to give back

    def step(self) -> bool:
        """Take one step, if there is something to do. True: there is more."""
        free = database.free_pages(self._db)
        self._least = min(self._least, free)
        if time.monotonic() >= self._due:
            self._left = max(0, self._least - SPARE_PAGES)
            self._least, self._due = free, time.monotonic() + VACUUM_EVERY
        if self._left:
            pages = min(self._left, VACUUM_STEP)
            database.give_back(self._db, pages)
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
    ) -> None:
        self._db = db
        self._todo = [shelf for each in shelves.values() for shelf in each]
        self._topics = topics
        self._time = log_time
        self._next = 0
        self._vacuum = Vacuum(db)
        self._due = time.monotonic() + CLEAN_EVERY

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
            more = database.clean(self._db, shelf, topic, self._time.now(), CLEAN_STEP)
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
        self._due = time.monotonic() + CLEAN_EVERY / len(self._todo)
