"""Kill -9 of the active broker while it tells a tenant's events on its topic: none of them is missing."""

import asyncio
import signal
import uuid
from pathlib import Path

import pytest

from broker.telemetry.times import now
from broker.transports.cluster import cluster_of
from broker.transports.kafka import KafkaLog
from schemas.cloudevents import request_record
from schemas.records import Stored
from schemas.requests import SubmitJob
from schemas.tenants import Tenant
from schemas.topics import TENANTS, events_of, requests_of
from tests.support.awaiting import eventually
from tests.support.systems import kafka_system

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(240)]
LASTS = 90.0  # s for all jobs, with two takeovers among them
ROUNDS, JOBS = 3, 20


async def test_a_tenants_events_outlive_kills_of_the_active_broker(
    tmp_path: Path, kafka: str
) -> None:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    log = KafkaLog(cluster_of(f"kafka://{kafka}"), prefix=prefix)
    await log.open()
    asked, told = requests_of("alpha").name, events_of("alpha").name
    await log.provide([asked, told])
    said = [Tenant(name="alpha", created=now(), kafka=True), Tenant(name="beta", created=now())]
    await log.append(TENANTS.name, [TENANTS.write(tenant, now()) for tenant in said])
    system = kafka_system(tmp_path, kafka, prefix, of_each=1)
    await system.start()
    broker = system.processes["broker-1"]

    async def mirrored() -> list[Stored]:
        bounds = await log.bounds(told, 0)
        return await log.read(told, 0, bounds.first, 10_000)

    async def begun(jobs: int) -> bool:
        return len({record.key for record in await mirrored()}) >= jobs

    async def ended(jobs: int) -> list[Stored]:
        records = await mirrored()
        over = {r.key for r in records if r.header("ce_type") == b"qjb.event.completed"}
        return records if len(over) >= jobs else []

    try:
        for number in range(ROUNDS):
            bodies = [SubmitJob("hello-world", job_id=f"r{number}-{n}") for n in range(JOBS)]
            await log.append(asked, [request_record(body, now()) for body in bodies])
            if number < ROUNDS - 1:
                await eventually(lambda: begun(JOBS * number + 5), LASTS)  # noqa: B023
                assert broker.running is not None
                broker.send(signal.SIGKILL)
                await asyncio.to_thread(broker.running.wait)
                broker.start()
        records = await eventually(lambda: ended(ROUNDS * JOBS), LASTS)
    finally:
        system.stop()
        await log.close()

    places = [record.header("qjb-ledger") for record in records]
    assert len(places) == len({*places})  # nobody woke who was thought lost
    histories: dict[bytes | None, list[int]] = {}
    for record in records:
        histories.setdefault(record.key, []).append(int(record.header("qjb-seq") or b"0"))
    assert len(histories) == ROUNDS * JOBS
    for key, seqs in histories.items():
        assert seqs == list(range(1, len(seqs) + 1)), key
