"""Payloads that nothing refers to any more are taken out of the blob store, slowly.

What is referred to is found out anew each time: by newest states, by events, requests and reports
that are still on the log, and by jobs that live. A payload is put before what refers to it is
appended, so that a young one is left alone.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator

import structlog

from broker.core.book import Book
from broker.errors import QjbError
from broker.transports.blobs import Blobs
from broker.transports.log import Log
from broker.transports.topics import DAY, EVENTS, REPORTS, REQUESTS, STATE
from schemas.cloudevents import DELETED, DELETION, read_request
from schemas.decoding import UnreadableError
from schemas.records import Stored
from schemas.requests import SubmitJob
from schemas.values import DEFAULT_TENANT, JobKey

FIRST_AFTER, EVERY = 900.0, 6 * 3600.0  # s
GRACE = DAY  # s; a younger payload may belong to what is still on its way
PAUSE = 0.02  # s between reads: nobody is in a hurry
_REFERENCE = re.compile(rb'"sha256"\s*:\s*"([0-9a-f]{64})"')

Users = dict[bytes | None, set[str]]

log = structlog.get_logger()


async def sweep_for_ever(target: Log, blobs: Blobs, book: Book) -> None:
    """Sweep a while after the start, and a few times a day, until cancelled."""
    await asyncio.sleep(FIRST_AFTER)
    while True:
        try:
            await sweep(target, blobs, book, min(target.now(), time.time()) - GRACE)
        except QjbError as error:  # the next pass will do
            log.warning("sweep.put_off", code=error.code, error=error.message)
        await asyncio.sleep(EVERY)


async def sweep(target: Log, blobs: Blobs, book: Book, before: float) -> int:
    """Drop payloads that were put *before* (seconds since 1970) and have no user; how many."""
    if not await blobs.is_of(target.identity):
        log.warning("sweep.blobs_are_shared", advice="give each log a blob store of its own")
        return 0
    old = [sha256 async for sha256 in blobs.older_than(before)]
    if not old:
        return 0
    used = await _used(target, book)
    dropped = 0
    for sha256 in old:
        if sha256 not in used:
            dropped += await blobs.drop(sha256, before)
    log.info("sweep.done", old=len(old), dropped=dropped)
    return dropped


async def _used(target: Log, book: Book) -> set[str]:
    users: Users = {}
    gone: set[bytes] = set()
    for topic in (STATE, REPORTS, EVENTS):
        async for record in _all(target, topic):
            if record.header(DELETED) or record.header("ce_type") == DELETION:
                users.pop(record.key, None)
                gone.add(record.key or b"")
            elif b'"sha256"' in record.value:
                users.setdefault(record.key, set()).update(_references(record.value))
    async for record in _all(target, REQUESTS):
        users.setdefault(None, set()).update(_asked(record, gone))
    live = (job.details.params_ref for job in book.jobs.changed() if job.details)
    users.setdefault(None, set()).update(ref.sha256 for ref in live if ref)
    return set().union(*users.values())


async def _all(target: Log, topic: str) -> AsyncIterator[Stored]:
    for partition in range(target.partitions(topic)):
        position = (await target.bounds(topic, partition)).first
        while records := await target.read(topic, partition, position):
            for record in records:
                yield record
            position = records[-1].offset + 1
            await asyncio.sleep(PAUSE)


def _references(value: bytes) -> Iterator[str]:
    return (found.decode() for found in _REFERENCE.findall(value))


def _asked(record: Stored, gone: set[bytes]) -> Iterator[str]:
    """What a request refers to, unless its job was deleted."""
    try:
        body = read_request(record).body
    except UnreadableError:
        yield from _references(record.value)
        return
    if not isinstance(body, SubmitJob) or body.params_ref is None:
        return
    if JobKey(DEFAULT_TENANT, body.job_id or "").encode() not in gone:
        yield body.params_ref.sha256
