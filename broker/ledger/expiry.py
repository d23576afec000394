"""Snapshots of jobs that ended or were deleted long ago are taken off the state topic, slowly."""

import asyncio
import time
from collections.abc import Mapping

import structlog

from broker.core.book import Book
from broker.errors import LogUnavailableError
from broker.ledger.appending import append_surely
from broker.ledger.reading import named_snapshot
from broker.transports.log import Log
from broker.transports.topics import DAY, STATE
from schemas.cloudevents import DELETED
from schemas.records import Record, Stored
from schemas.values import JobKey

FIRST_AFTER, EVERY = 600.0, 6 * 3600.0  # s
AT_ONCE = 500
IN_A_PASS = 50_000  # the rest is for the next pass
DELETED_KEPT = 7 * DAY  # s for which the id of a deleted job is not used again
PAUSE = 0.05  # s between reads: nobody is in a hurry

log = structlog.get_logger()


async def expire_for_ever(target: Log, book: Book, kept: float | None) -> None:
    """Look a while after the start, and a few times a day, until cancelled.

    *kept*: seconds after its end for which a job is kept; None: for ever.
    """
    await asyncio.sleep(FIRST_AFTER)
    while True:
        for partition in range(target.partitions(STATE)):
            try:
                await expire(target, book, partition, time.time(), kept)
            except LogUnavailableError as error:  # the next pass will do
                log.warning("expiry.put_off", code=error.code, error=error.message)
        await asyncio.sleep(EVERY)


async def expire(target: Log, book: Book, partition: int, now: float, kept: float | None) -> int:
    """Remove from one partition what ended more than *kept* before *now* (seconds since 1970).

    And what says that a job was deleted, when nobody asks for it again. How many jobs it was.
    """
    ages = {b"1": DELETED_KEPT, None: kept}
    keys = [key for key in await _old(target, partition, now, ages) if key not in book.jobs]
    for start in range(0, len(keys), AT_ONCE):
        gone = [Record(b"", key.encode()) for key in keys[start : start + AT_ONCE]]
        await append_surely(target, STATE, gone)
    return len(keys)


async def _old(
    target: Log, partition: int, now: float, ages: Mapping[bytes | None, float | None]
) -> list[JobKey]:
    """The jobs whose newest snapshot is their last one and older than it may be."""
    found: dict[JobKey, None] = {}
    bounds = await target.bounds(STATE, partition)
    position = bounds.first
    while position < bounds.next:
        records = await target.read(STATE, partition, position, 1000)
        if not records:
            break
        for record in records:
            if not record.value:
                found.pop(JobKey.decode(record.key or b"/"), None)  # removed already
                continue
            key, _, _ = named_snapshot(record)
            if key is None:
                continue
            found.pop(key, None)  # something newer is known of it
            if _is_old(record, now, ages[record.header(DELETED)]) and len(found) < IN_A_PASS:
                found[key] = None
        position = records[-1].offset + 1
        await asyncio.sleep(PAUSE)
    return list(found)


def _is_old(record: Stored, now: float, kept: float | None) -> bool:
    is_last = record.header("qjb-terminal") == b"1"
    return is_last and kept is not None and record.timestamp < (now - kept) * 1000
