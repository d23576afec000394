"""Records that nobody can read, on every topic: jobs go on, and a broker starts over them."""

import random
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from broker.core.book import Book
from broker.errors import RecordTooLargeError
from broker.ledger.expiry import expire
from broker.ledger.sweeping import sweep
from broker.transports.blobs import open_blobs
from broker.transports.memory import MemoryLog
from broker.transports.topics import EVENTS, INBOX, REPORTS, REQUESTS, STATE, STATUS
from schemas.values import JobKey
from tests.support.broker import Hand, ledger, system
from tests.support.records import RECORDS, any_record

TOPICS = (REQUESTS, REPORTS, STATUS, INBOX, STATE, EVENTS)


async def soil(log: MemoryLog, topic: str) -> None:
    """Put what nobody should write on every partition of *topic*."""
    chance = random.Random(5)
    raws = [*RECORDS.values(), *(any_record(chance) for _ in range(100))]
    for partition in range(log.partitions(topic)):
        for raw in raws:
            keyed = raw if raw.key else replace(raw, key=b"a/b")  # compacted topics need a key
            with suppress(RecordTooLargeError):
                await log.append(topic, [keyed.record(partition)])


@pytest.mark.parametrize("topic", TOPICS)
async def test_jobs_go_on_in_the_same_term(topic: str) -> None:
    log = MemoryLog(2)
    async with system(Hand(log, runs=True)) as qjb:
        await qjb.submit("j1")
        await qjb.ends("j1")
        await soil(log, topic)
        await qjb.submit("j2")
        assert (await qjb.ends("j2"))[-1].kind == "completed"

    assert {entry.epoch for entry in ledger(log)[JobKey("default", "j2")]} == {1}


@pytest.mark.parametrize("topic", TOPICS)
async def test_a_broker_starts_over_them(topic: str) -> None:
    log = MemoryLog(2)
    await log.open()
    await soil(log, topic)

    async with system(Hand(log, runs=True)) as qjb:
        await qjb.submit("j1")
        assert (await qjb.ends("j1"))[-1].kind == "completed"


async def test_what_looks_through_topics_passes_over_them() -> None:
    log = MemoryLog(1)
    await log.open()
    for topic in TOPICS:
        await soil(log, topic)
    blobs = open_blobs("memory:///")

    await expire(log, Book(10), 0, time.time() + 1e6, 1.0)
    await sweep(log, blobs, Book(10), time.time() + 1e6)
