"""Snapshots of jobs that ended or were deleted long ago are taken off the state topic.

As fast as they are read, however many there are: what ends faster than it goes would grow for ever.
"""

import asyncio
from dataclasses import dataclass, field

import structlog

from broker.appending import append_surely
from broker.core.book import Book
from broker.core.ended import Ended
from broker.errors import LogUnavailableError
from broker.ledger.reading import named_snapshot
from broker.reading import pages, places_of
from broker.transports.log import Log, TopicPartition
from schemas.records import Record, Stored
from schemas.state_records import DELETED
from schemas.topics import DAY, STATE
from schemas.values import JobKey

FIRST_AFTER, EVERY = 600.0, 6 * 3600.0  # s
AT_ONCE = 500
DELETED_KEPT = 7 * DAY  # s for which the id of a deleted job is not used again
PAUSE = 0.05  # s between reads: nobody is in a hurry

logger = structlog.get_logger()


async def expire_for_ever(log: Log, book: Book, kept: float | None) -> None:
    """Look a while after the start, and a few times a day, until cancelled.

    *kept*: seconds after its end for which a job is kept; None: for ever.
    """
    await asyncio.sleep(FIRST_AFTER)
    while True:
        for _, partition in places_of(log, STATE):
            try:
                await expire(log, book, partition, log.now(), kept)
            except LogUnavailableError as error:  # the next pass will do
                logger.warning("expiry.put_off", code=error.code, error=error.message)
        await asyncio.sleep(EVERY)


async def expire(log: Log, book: Book, partition: int, now: float, kept: float | None) -> int:
    """Remove from one partition what ended more than *kept* before *now* (seconds since 1970).

    And what says that a job was deleted, when nobody asks for it again. How many jobs it was.
    """
    ages = {b"1": DELETED_KEPT, None: kept}
    replaced = await _replaced(log, partition)
    count = 0
    async for records in pages(log, [TopicPartition(STATE.name, partition)], pause=PAUSE):
        old = (
            record for record in records if _is_old(record, now, ages.get(record.header(DELETED)))
        )
        keys = [key for record in old if (key := replaced.newest_of(record)) is not None]
        gone = [Record(b"", key.encode()) for key in dict.fromkeys(keys) if key not in book.jobs]
        for start in range(0, len(gone), AT_ONCE):
            await append_surely(log, STATE, gone[start : start + AT_ONCE])
        count += len(gone)
    return count


@dataclass(slots=True)
class _Replaced:
    """Jobs whose snapshot has been replaced, though compaction may not have been there yet."""

    deleted: set[int] = field(default_factory=set)  # hashes of keys
    removed: Ended = field(default_factory=Ended)  # of very many the newest, which is enough

    def note(self, record: Stored) -> None:
        """*record* may be what is there instead."""
        if record.header(DELETED):
            self.deleted.add(hash(record.key))
        elif not record.value:
            self.removed.add(record.key or b"")

    def newest_of(self, record: Stored) -> JobKey | None:
        """The job that the last snapshot *record* is about, unless something newer is known."""
        if not record.header(DELETED) and hash(record.key) in self.deleted:
            return None
        return None if (record.key or b"") in self.removed else named_snapshot(record)[0]


async def _replaced(log: Log, partition: int) -> _Replaced:
    found = _Replaced()
    async for records in pages(log, [TopicPartition(STATE.name, partition)], pause=PAUSE):
        for record in records:
            found.note(record)
    return found


def _is_old(record: Stored, now: float, kept: float | None) -> bool:
    is_last = record.header("qjb-terminal") == b"1"
    return is_last and kept is not None and record.timestamp < (now - kept) * 1000
