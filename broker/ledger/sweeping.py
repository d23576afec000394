"""Payloads that nothing refers to any more are taken out of the blob store, slowly.

What is referred to is found out anew each time: by newest states, by events, requests and reports
that are still on the log, by jobs that live, and by versions of programs. A payload is put before what refers to it is
appended, so that a young one is left alone.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

import structlog

from broker.core.book import Book
from broker.errors import QjbError
from broker.ledger.tenants import Tenants
from broker.reading import pages, places_of
from broker.transports.blobs import Blobs
from broker.transports.log import Log
from schemas.decoding import UnreadableError
from schemas.ledger_records import DELETION
from schemas.records import Stored
from schemas.requests import SubmitJob
from schemas.state_records import DELETED
from schemas.topics import (
    DAY,
    EVENTS,
    PROGRAMS,
    REPORTS,
    REQUESTS,
    STATE,
    Topic,
    parted,
    requests_of,
)
from schemas.values import DEFAULT_TENANT, JobKey

FIRST_AFTER, EVERY = 900.0, 6 * 3600.0  # s
GRACE = DAY  # s; a younger payload may belong to what is still on its way
PAUSE = 0.02  # s between reads: nobody is in a hurry
AT_ONCE = 50_000  # payloads whose users are looked for together
STEP = 5_000  # jobs that are looked at in one piece
_REFERENCE = re.compile(rb'"sha256"\s*:\s*"([0-9a-f]{64})"')

Users = dict[bytes | None, set[str]]

logger = structlog.get_logger()


async def sweep_for_ever(log: Log, blobs: Blobs, book: Book, tenants: Tenants) -> None:
    """Sweep a while after the start, and a few times a day, until cancelled."""
    await asyncio.sleep(FIRST_AFTER)
    while True:
        try:
            await sweep(log, blobs, book, min(log.now(), time.time()) - GRACE, tenants.names)
        except QjbError as error:  # the next pass will do
            logger.warning("sweep.put_off", code=error.code, error=error.message)
        await asyncio.sleep(EVERY)


async def sweep(
    log: Log,
    blobs: Blobs,
    book: Book,
    before: float,
    tenants: Collection[str] = (),
    at_once: int = AT_ONCE,
) -> int:
    """Drop payloads that were put *before* (seconds since 1970) and have no user; how many.

    The log is read once for each *at_once* of them, so that no more are in memory.
    """
    if not await blobs.is_of(log.identity):
        logger.warning("sweep.blobs_are_shared", advice="give each log a blob store of its own")
        return 0
    asked = [requests_of(tenant) for tenant in {DEFAULT_TENANT, *tenants}]
    await log.provide([topic.name for topic in asked if topic is not REQUESTS])
    found = dropped = 0
    async for some in _parts(blobs.older_than(before), at_once):
        unused = some - await _used(log, book, asked, some)
        found += len(some)
        for sha256 in unused:
            dropped += await blobs.drop(sha256, before)
    if found:
        logger.info("sweep.done", old=found, dropped=dropped)
    return dropped


async def _parts(names: AsyncIterator[str], at_once: int) -> AsyncIterator[set[str]]:
    some: set[str] = set()
    async for name in names:
        some.add(name)
        if len(some) == at_once:
            yield some
            some = set()
    if some:
        yield some


async def _used(log: Log, book: Book, asked: Sequence[Topic[Any, ...]], some: set[str]) -> set[str]:
    """Those of *some* that anything refers to which is not of a deleted job."""
    users: Users = {}
    for topic in asked:
        async for record in _all(log, topic):
            _use(users, *_asked(record, some))
    for topic in (STATE, REPORTS, EVENTS):
        async for record in _all(log, topic):
            if record.header(DELETED) or record.header("ce_type") == DELETION:
                users.pop(record.key, None)
            else:
                _use(users, record.key, _references(record.value, some))
    async for record in _all(log, PROGRAMS):  # whose keys are none of a job's
        key = b"program " + (record.key or b"")
        if record.value:
            _use(users, key, _references(record.value, some))
        else:
            users.pop(key, None)
    live = list(book.jobs.values())
    for start in range(0, len(live), STEP):
        refs = (job.details.params_ref for job in live[start : start + STEP] if job.details)
        _use(users, None, {ref.sha256 for ref in refs if ref} & some)
        await asyncio.sleep(0)
    return set().union(*users.values())


def _use(users: Users, key: bytes | None, used: set[str]) -> None:
    if used:
        users.setdefault(key, set()).update(used)


async def _all(log: Log, topic: Topic[Any, ...]) -> AsyncIterator[Stored]:
    async for records in pages(log, places_of(log, topic), pause=PAUSE):
        for record in records:
            yield record


def _references(value: bytes, some: set[str]) -> set[str]:
    if b'"sha256"' not in value:
        return set()
    return {found.decode() for found in _REFERENCE.findall(value)} & some


def _asked(record: Stored, some: set[str]) -> tuple[bytes | None, set[str]]:
    """Which job a request is for, if it says so, and what it refers to."""
    try:
        body = REQUESTS.read(record).body
    except UnreadableError:
        return None, _references(record.value, some)
    if not isinstance(body, SubmitJob) or body.params_ref is None:
        return None, set()
    key = JobKey(parted(record.topic)[1], body.job_id).encode() if body.job_id else None
    return key, {body.params_ref.sha256} & some
