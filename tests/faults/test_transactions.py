"""Requests that others write in transactions: what is committed runs, what is aborted does not."""

import asyncio
import json
import uuid
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from broker.transports.topics import EVENTS, REPORTS, REQUESTS
from tests.support.attacks import last_event
from tests.support.awaiting import eventually
from tests.support.poisons import HELLO, Place, good_jobs, place_of, terms
from tests.support.systems import kafka_system

JOBS = 8

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(120)]


async def in_one(producer: AIOKafkaProducer, topic: str, *lines: bytes, commits: bool) -> None:
    """Write *lines* in one transaction, each on a partition of its own turn."""
    await producer.begin_transaction()
    for number, value in enumerate(lines):
        await producer.send_and_wait(topic, value, partition=number % 4)
    await (producer.commit_transaction() if commits else producer.abort_transaction())


def named(job_id: str) -> bytes:
    return json.dumps(HELLO | {"job_id": job_id}).encode()


async def state_of(place: Place, job_id: str) -> str:
    async with asyncio.timeout(30):
        return str((await last_event(place.url, place.http, job_id))["state"])


async def test_committed_requests_run_and_aborted_ones_do_not_whoever_takes_over(
    tmp_path: Path, kafka: str
) -> None:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    system = kafka_system(tmp_path, kafka, prefix, of_each=1, slots="2")
    await system.start()
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=prefix)
    await producer.start()
    try:
        async with place_of(system) as place:
            kept = [f"kept-{number}" for number in range(JOBS)]
            gone = [f"gone-{number}" for number in range(JOBS)]
            for name, other in zip(kept, gone, strict=True):
                await in_one(producer, prefix + REQUESTS, named(name), commits=True)
                await in_one(producer, prefix + REQUESTS, *[named(other)] * 4, commits=False)
            # Ends of transactions are the last that stands on each partition.
            for topic in (EVENTS, REPORTS, REQUESTS):
                await in_one(producer, prefix + topic, *[b"{}"] * 4, commits=False)
            found = await asyncio.gather(*(state_of(place, name) for name in kept))
            assert set(found) == {"completed"}

            await producer.begin_transaction()  # and is open while another broker takes over
            await producer.send_and_wait(prefix + REQUESTS, named(gone[0]), partition=0)
            broker = system.processes["broker-1"]
            broker.kill()
            broker.start()
            await eventually(lambda: terms(system) >= 2, within=30)
            await producer.abort_transaction()
            assert set((await good_jobs(place, count=8)).states) == {"completed"}
            for name in gone:
                async with place.http.get(f"{place.url}/jobs/{name}") as answer:
                    assert answer.status == 404, name
    finally:
        await producer.stop()
        system.stop()
