"""Submit → `queued`, and submit → result of a Bell circuit, at an SSE client.

`python -m benchmarks.latency [--kafka] [--jobs N]`. Reference in the same run: bare Aer, a bare
HTTP round trip, and on Kafka five hops of bare aiokafka. One job at a time, warm.
"""

import argparse
import asyncio
import statistics
import time

from benchmarks.client import Connection, get, post
from benchmarks.common import (
    BELL_JOB,
    Row,
    bare_aer,
    embedded,
    kafka_node,
    line,
    machine,
    on_kafka,
    quantiles,
    watching,
)
from tests.support.systems import System


async def measure(system: System, jobs: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds to `queued`, to `completed`, and of `GET /live`."""
    url = system.urls[0]
    queued, completed, live = [], [], []
    connection = await Connection.to(url)
    async with watching(url) as watcher:
        for number in range(jobs + 50):
            job_id = f"latency-{number}"
            request = post("/jobs", {**BELL_JOB, "job_id": job_id})
            began = time.perf_counter()
            sent = asyncio.create_task(connection.ask(request))
            seen = await watcher.when(job_id, "queued")
            done = await watcher.when(job_id, "completed")
            await sent
            if number >= 50:
                queued.append(seen - began)
                completed.append(done - began)
        for _ in range(200):
            began = time.perf_counter()
            await connection.ask(get("/live"))
            live.append(time.perf_counter() - began)
    connection.close()
    return queued, completed, live


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
) -> list[Row]:
    """Print what was measured, and against what."""
    queued, completed, live = measured
    print(line(f"{name}: submit → queued at an SSE client", queued))
    print(line(f"{name}: Bell, 1,024 shots, submit → completed", completed))
    print(line(f"{name}: reference, GET /live", live))
    share = statistics.median(completed) / statistics.median(aer)
    trips = statistics.median(queued) / statistics.median(live)
    print(f"{name}: a job takes {share:.1f} × bare Aer, {trips:.1f} × GET /live to queued")
    return [
        Row(
            f"Bell, 1,024 shots, submit → result, idle, {name}",
            "p50 ≤ 4, p99 ≤ 8 ms",
            quantiles(completed),
            f"bare Aer {quantiles(aer)}: {share:.1f} ×",
        ),
        Row(
            f"Submit → `queued`, {name}",
            "p50 ≤ 1.2 ms",
            quantiles(queued),
            f"`GET /live` {quantiles(live)}: {trips:.1f} ×",
        ),
    ]


async def on_disk_log(jobs: int = 300) -> list[Row]:
    """The rows of `qjb up`."""
    aer = await asyncio.to_thread(bare_aer, times=jobs)
    print(line("reference: bare Aer, the same circuit", aer))
    async with embedded() as system:
        return report("embedded", await measure(system, jobs), aer)


async def on_one_node(jobs: int = 300) -> None:
    """The same on Kafka."""
    aer = await asyncio.to_thread(bare_aer, times=jobs)
    with kafka_node() as cluster:
        hops = await five_hops(cluster.bootstrap)
        print(line("reference: five hops of bare aiokafka", hops))
        async with on_kafka(cluster.bootstrap) as system:
            measured = await measure(system, jobs)
            report("kafka", measured, aer)
            ratio = statistics.median(measured[1]) / statistics.median(hops)
            print(f"kafka: {ratio:.1f} × five bare hops")


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", action="store_true", help="on one-node Kafka, too")
    parser.add_argument("--jobs", type=int, default=300)
    asked = parser.parse_args()
    print(machine())
    await on_disk_log(asked.jobs)
    if asked.kafka:
        await on_one_node(asked.jobs)


if __name__ == "__main__":
    asyncio.run(main())
