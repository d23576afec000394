"""The three logs: latency of one append, of append → follower, and throughput, beside bare libraries.

`python -m benchmarks.log [--kafka [SERVERS]] [--seconds N]`. A record is an event as the ledger
carries it: 300 bytes and nine headers. The references write the same bytes in the same run: apsw
inline with one transaction per append, or for every 64 records; aiokafka's `send_and_wait`.
"""

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import msgspec
from aiokafka import AIOKafkaProducer

from benchmarks.common import kafka_node, line, machine
from broker.telemetry.logging import configure
from broker.transports.embedded import EmbeddedLog
from broker.transports.log import Log, TopicPartition
from broker.transports.memory import MemoryLog
from broker.transports.topics import DEAD_LETTERS, EVENTS, REQUESTS
from broker.transports.urls import open_log
from schemas.records import Record

HEADERS = tuple((f"ce_name{n}", b"a value of some kind") for n in range(9))
RECORD = Record(b"x" * 300, b"default/01890a5d-ac96-774b", HEADERS)
APPENDERS = 64
TOPICS = (EVENTS, DEAD_LETTERS, REQUESTS)  # those that are not compacted, and last on every log

Step = Callable[[], Awaitable[object]]


async def timed(step: Step, seconds: float) -> list[float]:
    """How long each took, one after the other."""
    found = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        await step()
        found.append(time.perf_counter() - began)
    return found


async def rate(step: Callable[[int], Awaitable[int]], seconds: float) -> tuple[float, float]:
    """Records a second from many at once, and the processor time of each in µs."""
    until = time.perf_counter() + seconds

    async def one(name: int) -> int:
        count = 0
        while time.perf_counter() < until:
            count += await step(name)
        return count

    began, used = time.perf_counter(), time.process_time()
    total = sum(await asyncio.gather(*(one(name) for name in range(APPENDERS))))
    took = time.perf_counter() - began
    return total / took, (time.process_time() - used) / total * 1e6


def figure(name: str, found: tuple[float, float], reference: float | None = None) -> float:
    per_second, cost = found
    ratio = f"  {per_second / reference:5.2f} × reference" if reference else ""
    print(f"{name:<52} {per_second:10,.0f} records/s  {cost:6.1f} µs each{ratio}")
    return per_second


async def measure(name: str, log: Log, seconds: float, reference: float | None) -> None:
    """All figures of one log."""
    await log.append(EVENTS, [RECORD] * 500)

    async def append() -> None:
        await log.append(EVENTS, [RECORD])

    partitions = range(log.partitions(EVENTS))
    ends = {TopicPartition(EVENTS, p): (await log.bounds(EVENTS, p)).next for p in partitions}
    follower = log.follow(ends)
    await follower.next(0.5)

    async def append_and_hear() -> None:
        appending = asyncio.ensure_future(log.append(EVENTS, [RECORD]))
        await follower.next(10)
        await appending

    async def append_some(name: int, count: int) -> int:
        return len(await log.append(TOPICS[name % len(TOPICS)], [RECORD] * count))

    print(line(f"{name}: append", await timed(append, seconds)))
    while await follower.next(0.1):
        pass
    print(line(f"{name}: append → follower", await timed(append_and_hear, seconds)))
    await follower.close()
    for count in (1, 16):
        found = await rate(lambda n, count=count: append_some(n, count), seconds)  # type: ignore[misc]
        figure(f"{name}: {APPENDERS} appenders × {count}", found, reference)


async def bare_apsw(folder: Path, seconds: float) -> float:
    """SQLite as the embedded log uses it, without loop, threads or followers."""
    db = apsw.Connection(str(folder / "bare.db"))
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "full")
    db.execute("CREATE TABLE log (position INTEGER PRIMARY KEY, t INTEGER, k BLOB, v BLOB, h BLOB)")
    numbers = itertools.count()
    headers = msgspec.msgpack.encode(HEADERS)

    def row() -> tuple[object, ...]:
        return (next(numbers), 0, RECORD.key, RECORD.value, headers)

    async def one() -> None:
        db.execute("INSERT INTO log VALUES (?,?,?,?,?)", row())

    async def many(_: int) -> int:
        with db:
            db.executemany("INSERT INTO log VALUES (?,?,?,?,?)", [row() for _ in range(APPENDERS)])
        return APPENDERS

    print(line("reference: bare apsw, one transaction", await timed(one, seconds)))
    return figure(f"reference: bare apsw, {APPENDERS} a transaction", await rate(many, seconds))


async def bare_aiokafka(servers: str, topic: str, seconds: float) -> float:
    """The client that the log on Kafka uses, alone."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
    await producer.start()

    async def one() -> None:
        await producer.send_and_wait(topic, RECORD.value, RECORD.key, headers=list(HEADERS))

    async def many(_: int) -> int:
        await one()
        return 1

    for _ in range(300):
        await one()
    print(line("reference: bare aiokafka, send_and_wait", await timed(one, seconds)))
    found = await rate(many, seconds)
    await producer.stop()
    return figure(f"reference: bare aiokafka, {APPENDERS} × send_and_wait", found)


async def on_kafka(servers: str, seconds: float) -> None:
    log = open_log(f"kafka://{servers}", prefix="benchmark.")
    await log.open()
    reference = await bare_aiokafka(servers, f"benchmark.{EVENTS}", seconds)
    await measure("kafka", log, seconds, reference)
    await log.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", nargs="?", const="", help="host:port; without: one of our own")
    parser.add_argument("--seconds", type=float, default=3.0)
    asked = parser.parse_args()
    configure("error")
    print(machine())
    memory = MemoryLog()
    await measure("memory", memory, min(asked.seconds, 1.0), None)
    with tempfile.TemporaryDirectory() as folder:
        reference = await bare_apsw(Path(folder), asked.seconds)
        embedded = EmbeddedLog(Path(folder) / "log.db")
        await embedded.open()
        await measure("embedded", embedded, asked.seconds, reference)
        await embedded.close()
    if asked.kafka:
        await on_kafka(asked.kafka, asked.seconds)
    elif asked.kafka is not None:
        with kafka_node() as cluster:
            await on_kafka(cluster.bootstrap, asked.seconds)


if __name__ == "__main__":
    asyncio.run(main())
