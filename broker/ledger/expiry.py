"""Snapshots of jobs that ended long ago are taken off the state topic, slowly."""

import asyncio
import time

import structlog

from broker.core.book import Book
from broker.errors import LogUnavailableError
from broker.ledger.appending import append_surely
from broker.ledger.reading import named_snapshot
from broker.transports.log import Log
from broker.transports.topics import STATE
from schemas.records import Record
from schemas.values import JobKey

FIRST_AFTER, EVERY = 600.0, 6 * 3600.0  # s
AT_ONCE = 500
IN_A_PASS = 50_000  # the rest is for the next pass
PAUSE = 0.05  # s between reads: nobody is in a hurry

log = structlog.get_logger()


async def expire_for_ever(target: Log, book: Book, kept: float | None) -> None:
    """Look a while after the start, and a few times a day, until cancelled.

    *kept*: seconds after its end for which a job is kept; None: for ever.
    """
    if kept is None:
        return
    await asyncio.sleep(FIRST_AFTER)
    while True:
        for partition in range(target.partitions(STATE)):
            try:
                await expire(target, book, partition, time.time() - kept)
            except LogUnavailableError as error:  # the next pass will do
                log.warning("expiry.put_off", code=error.code, error=error.message)
        await asyncio.sleep(EVERY)


async def expire(target: Log, book: Book, partition: int, before: float) -> int:
    """Remove from one partition what ended *before* (seconds since 1970); how many jobs it was."""
    keys = [key for key in await _old(target, partition, before) if key not in book.jobs]
    for start in range(0, len(keys), AT_ONCE):
        gone = [Record(b"", key.encode()) for key in keys[start : start + AT_ONCE]]
        await append_surely(target, STATE, gone)
    return len(keys)


async def _old(target: Log, partition: int, before: float) -> list[JobKey]:
    """The jobs whose newest snapshot is their last one and older than *before*."""
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
            is_old = record.timestamp < before * 1000 and record.header("qjb-terminal") == b"1"
            if is_old and len(found) < IN_A_PASS:
                found[key] = None
        position = records[-1].offset + 1
        await asyncio.sleep(PAUSE)
    return list(found)
