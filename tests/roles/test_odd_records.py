"""Records that nobody can read, on every topic: jobs go on, and a broker starts over them."""

import random
import time
from contextlib import suppress
from dataclasses import replace

import msgspec
import pytest

from broker.core.book import Book
from broker.errors import RecordTooLargeError
from broker.ledger.expiry import expire
from broker.ledger.sweeping import sweep
from broker.transports.blobs import open_blobs
from broker.transports.memory import MemoryLog
from broker.transports.topics import EVENTS, INBOX, REPORTS, REQUESTS, STATE, STATUS
from schemas import events
from schemas.cloudevents import LARGEST_REPORT
from schemas.events import Failed
from schemas.reports import Began, Raised, Withheld
from schemas.values import JobKey, Violation
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


@pytest.mark.parametrize("text", ["x", "😀", "\x01"])
@pytest.mark.parametrize("kind", [Withheld, Raised])
async def test_a_report_as_large_as_may_be_leads_to_an_event_in_the_same_term(
    kind: type[Withheld | Raised], text: str
) -> None:
    log, size = MemoryLog(2), len(msgspec.json.encode(text)) - 2
    each = Violation("/a", "rule", text * (1000 // size))
    about = ("program_error",) if kind is Raised else ()
    async with system(hand := Hand(log, runs=False)) as qjb:
        await qjb.submit("j1")
        await hand.is_told("j1")
        await hand.report("j1", Began())
        body = kind(*about, "it breaks", (each,) * (LARGEST_REPORT // 1100))
        report = hand.say("j1", body)
        assert 0.9 * LARGEST_REPORT < len(report.value) < LARGEST_REPORT
        await hand.append(report)
        event = (await qjb.reaches("j1", "failed" if kind is Raised else "withheld"))[-1]

    assert isinstance(event, Failed | events.Withheld)
    assert event.violations == body.violations
    assert {entry.epoch for entry in ledger(log)[JobKey("default", "j1")]} == {1}
