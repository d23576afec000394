"""Records as nobody should write them, on every topic of a real Kafka: each is answered or passed over."""

import random
import re
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from broker.transports.kafka.layout import LAYOUT
from broker.transports.topics import EVENTS, INBOX, REPORTS, REQUESTS, STATE, STATUS
from broker.transports.urls import open_log
from schemas.records import Stored
from tests.support.awaiting import eventually
from tests.support.poisons import Place, good_jobs, place_of, singly, terms
from tests.support.records import RECORDS, Raw, any_record
from tests.support.systems import System, kafka_system

SOME = 300  # records of chance, on each topic
TOPICS = (REQUESTS, REPORTS, STATUS, INBOX, STATE, EVENTS, LAYOUT.name)

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(180)]


@pytest.fixture
async def system(tmp_path: Path, kafka: str) -> AsyncIterator[System]:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    system = kafka_system(tmp_path, kafka, prefix, of_each=1, slots="2")
    await system.start()
    yield system
    system.stop()


async def test_each_request_ends_as_a_job_a_rejection_or_a_dead_letter(system: System) -> None:
    chance = random.Random(11)
    written = [*RECORDS.values(), *(any_record(chance) for _ in range(SOME))]
    async with place_of(system) as place:
        assert place.hand is not None
        topic = system.prefix + REQUESTS
        await place.hand.partitions(topic)
        asked = {await one(place, topic, n, record) for n, record in enumerate(written)}
        await run_well(place)
        answered = await answers(system, asked)

    assert answered == asked
    assert terms(system) == 1


async def one(place: Place, topic: str, number: int, record: Raw) -> str:
    """Write *record* on a partition of its own turn; where it stands."""
    assert place.hand is not None
    offset = await place.hand.write(topic, number % 4, [record])
    return f"{REQUESTS}:{number % 4}:{offset}"


async def answers(system: System, asked: set[str]) -> set[str]:
    """The positions of *asked* that something came of; those of cancels of nothing are with them."""

    async def come() -> set[str]:
        letters = {value(r, "qjb-source") for r in await all_of(system, "qjb.dead-letters.v1")}
        events = {value(r, "qjb-in") for r in await all_of(system, EVENTS)}
        void = {place for place, body in await requests(system) if b'"cancel"' in body}
        found.update(asked & (letters | events | void))
        return found if found == asked else set()

    found: set[str] = set()
    with suppress(TimeoutError):
        await eventually(come, within=30)
    return found


def value(record: Stored, name: str) -> str:
    return (record.header(name) or b"").decode()


async def requests(system: System) -> Sequence[tuple[str, bytes]]:
    return [
        (f"{REQUESTS}:{r.partition}:{r.offset}", r.value) for r in await all_of(system, REQUESTS)
    ]


async def all_of(system: System, topic: str) -> Sequence[Stored]:
    log = open_log(f"kafka://{system.bootstrap}", prefix=system.prefix)
    await log.open()
    try:
        found: list[Stored] = []
        for partition in range(log.partitions(topic)):
            start = (await log.bounds(topic, partition)).first
            while records := await log.read(topic, partition, start, 5_000):
                found += records
                start = records[-1].offset + 1
        return found
    finally:
        await log.close()


async def run_well(place: Place) -> None:
    found = await good_jobs(place, count=20)
    assert set(found.states) == {"completed"}
    assert set(found.attempts) == {1}


async def test_no_record_on_any_topic_ends_a_role_or_keeps_it_from_starting(system: System) -> None:
    chance = random.Random(12)
    async with place_of(system) as place:
        for topic in TOPICS:
            await place.write(topic, singly(topic, list(RECORDS.values())))
            for _ in range(SOME // 4):
                await place.write(topic, singly(topic, [any_record(chance)]))
        await run_well(place)
    assert terms(system) == 1
    living(system)

    system.stop()
    await system.start()
    async with place_of(system) as place:
        await run_well(place)
    assert terms(system) == 2
    living(system)


def living(system: System) -> None:
    for name, process in system.processes.items():
        assert process.running is not None
        assert process.running.poll() is None, process.output()[-5_000:]
        assert not re.search(r"broker\.failed|stepped_down", process.output()), name
