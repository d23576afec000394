"""Submit → `queued`, and submit → result of a Bell circuit, at an SSE client.

`python -m benchmarks.latency [--kafka] [--jobs N]`. Reference in the same run: bare Aer, a bare
HTTP round trip, and on Kafka five hops of bare aiokafka. One job at a time, warm.
"""

import argparse
import asyncio
import statistics
import time

import aiohttp

from benchmarks.common import (
    BELL_JOB,
    Watcher,
    bare_aer,
    embedded,
    kafka_node,
    line,
    machine,
    on_kafka,
)
from tests.support.systems import System


async def measure(system: System, jobs: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds to `queued`, to `completed`, and of `GET /live`."""
    url = system.urls[0]
    queued, completed, live = [], [], []
    async with aiohttp.ClientSession() as http:
        watcher = Watcher(url)
        reading = asyncio.create_task(watcher.run(http))
        await asyncio.wait_for(watcher.opened.wait(), 10)
        for number in range(jobs + 50):
            job_id = f"latency-{number}"
            began = time.perf_counter()
            sending = asyncio.create_task(post(http, url, {**BELL_JOB, "job_id": job_id}))
            seen, done = (
                await watcher.when(job_id, "queued"),
                await watcher.when(job_id, "completed"),
            )
            await sending
            if number >= 50:
                queued.append(seen - began)
                completed.append(done - began)
        for _ in range(200):
            began = time.perf_counter()
            async with http.get(f"{url}/live") as response:
                await response.read()
            live.append(time.perf_counter() - began)
        reading.cancel()
    return queued, completed, live


async def post(http: aiohttp.ClientSession, url: str, job: object) -> None:
    """Submit *job*."""
    async with http.post(f"{url}/jobs", json=job) as response:
        assert response.status == 200, await response.text()


async def five_hops(bootstrap: str, times: int = 150) -> list[float]:
    """Seconds that a record takes over five topics: produce, consume, produce, consume …"""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    topics = [f"bench-hop-{number}" for number in range(5)]
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1) for topic in topics])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    consumers = []
    for topic in topics:
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        await consumer.start()
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        consumers.append(consumer)
    took = []
    for number in range(times + 100):
        began = time.perf_counter()
        for topic, consumer in zip(topics, consumers, strict=True):
            await producer.send_and_wait(topic, b"x" * 300, partition=0)
            while not await consumer.getmany(timeout_ms=1000):
                pass
        if number >= 100:
            took.append(time.perf_counter() - began)
    for client in (producer, *consumers):
        await client.stop()
    return took


def report(
    name: str, measured: tuple[list[float], list[float], list[float]], aer: list[float]
) -> None:
    """Print what was measured, and against what."""
    queued, completed, live = measured
    print(line(f"{name}: submit → queued at an SSE client", queued))
    print(line(f"{name}: Bell, 1,024 shots, submit → completed", completed))
    print(line(f"{name}: reference, GET /live", live))
    share = statistics.median(completed) / statistics.median(aer)
    print(
        f"{name}: a job takes {share:.1f} × bare Aer, {statistics.median(queued) / statistics.median(live):.1f} × GET /live to queued"
    )


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", action="store_true", help="on one-node Kafka, too")
    parser.add_argument("--jobs", type=int, default=300)
    asked = parser.parse_args()
    print(machine())
    aer = await asyncio.to_thread(bare_aer)
    print(line("reference: bare Aer, the same circuit", aer))
    async with embedded() as system:
        report("embedded", await measure(system, asked.jobs), aer)
    if asked.kafka:
        with kafka_node() as bootstrap:
            hops = await five_hops(bootstrap)
            print(line("reference: five hops of bare aiokafka", hops))
            async with on_kafka(bootstrap) as system:
                measured = await measure(system, asked.jobs)
                report("kafka", measured, aer)
                print(
                    f"kafka: {statistics.median(measured[1]) / statistics.median(hops):.1f} × five bare hops"
                )


if __name__ == "__main__":
    asyncio.run(main())
