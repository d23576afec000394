"""10,000 requests that nobody can run, among 1,000 that are fine: all answered, nothing stopped."""

import asyncio
import json
import random
from collections.abc import Iterator

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer

from broker.transports.urls import open_log
from tests.support.awaiting import eventually
from tests.support.streams import Subscriber, history_is_sound
from tests.support.systems import System

GOOD, BAD = 1_000, 10_000
pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(240)]


def good() -> Iterator[bytes]:
    for number in range(GOOD):
        yield json.dumps(
            {
                "job_id": f"good-{number}",
                "program_id": "hello-world",
                "params": {"iterations": 0},
                "tags": ["good"],
            }
        ).encode()


def bad(chance: random.Random) -> Iterator[bytes]:
    whole = b'{"program_id": "hello-world", "params": {"iterations": 1}}'
    kinds = [
        lambda n: b"",
        lambda n: whole[: chance.randrange(1, len(whole) - 1)],
        lambda n: bytes(chance.randrange(256) for _ in range(chance.randrange(1, 80))),
        lambda n: b"[" * 5_000,
        lambda n: b'{"a":' * 5_000,
        lambda n: b'{"program_id": "hello-world", "params": ' + b"[" * 2_000 + b"]" * 2_000 + b"}",
        lambda n: b'{"program_id": "no-such-program"}',
        lambda n: b'{"program_id": "hello-world", "params": {"iterations": -%d}}' % (n + 1),
        lambda n: b'{"program_id": "hello-world", "params": {"iterations": "many"}}',
        lambda n: b'{"program_id": "hello-world", "params": 7}',
        lambda n: b'{"program_id": "hello-world", "backend": "no-such-backend"}',
        lambda n: b'{"program_id": "hello-world", "job_id": "not/an id"}',
        lambda n: b'{"program_id": "hello-world", "priority": 1e9}',
        lambda n: b'{"program_id": 5}',
        lambda n: b'{"kind": "dance"}',
        lambda n: b'{"program_id": "sampler", "params": {"circuits": []}}',
        lambda n: (
            b'{"program_id": "hello-world", "params_ref": {"sha256": "%064x", "size": 9}}' % n
        ),
        lambda n: b"null",
        lambda n: b'"\xed\xa0\x80"',
    ]
    for number in range(BAD):
        yield kinds[number % len(kinds)](number)


async def test_bad_requests_are_answered_and_good_ones_run(on_kafka: System) -> None:
    chance = random.Random(7)
    requests = [*good(), *bad(chance)]
    chance.shuffle(requests)
    producer = AIOKafkaProducer(bootstrap_servers=on_kafka.bootstrap)
    await producer.start()
    for request in requests:
        await producer.send(f"{on_kafka.prefix}qjb.requests.v1", request)
    await producer.stop()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        followers = [Subscriber(f"/jobs/good-{n}/events", on_kafka.urls) for n in range(GOOD)]
        for events in await asyncio.gather(*(one.follow(http) for one in followers)):
            history_is_sound(events)
            assert events[-1]["kind"] == "completed"

    async def all_answered() -> tuple[int, int] | None:
        rejected = await count(on_kafka, "qjb.events.v1", b"qjb.event.rejected")
        dead = await count(on_kafka, "qjb.dead-letters.v1", b"qjb.dead-letter")
        return (rejected, dead) if rejected + dead >= BAD else None

    rejected, dead = await eventually(all_answered, within=30) or (0, 0)
    assert rejected + dead == BAD
    assert rejected > 0
    assert dead > 0
    for process in on_kafka.processes.values():
        assert process.running is not None
        assert process.running.poll() is None


async def count(system: System, topic: str, event_type: bytes) -> int:
    """How many records of a topic have that CloudEvents type."""
    log = open_log(f"kafka://{system.bootstrap}", prefix=system.prefix)
    await log.open()
    try:
        found = 0
        for partition in range(log.partitions(topic)):
            start = (await log.bounds(topic, partition)).first
            while records := await log.read(topic, partition, start, 5_000):
                found += sum(record.header("ce_type") == event_type for record in records)
                start = records[-1].offset + 1
        return found
    finally:
        await log.close()
