"""How long a broker and a gateway take to begin, where there is much to read.

`python -m benchmarks.recovery [--ended N] [--queued N] [--events N] [--tenants N]`. Fills an embedded log with
snapshots of jobs that have ended and that wait, of tenants in turns, and starts a broker on it; then with events, and
starts a gateway without a local copy. The reference is a plain reading of the same rows in the same
run. A ticker beside it tells the longest time for which the event loop was held.
"""

import argparse
import asyncio
import resource
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import aiohttp
import apsw
import msgspec

from benchmarks.common import machine
from broker.gateway.server import Gateway
from broker.telemetry.times import iso
from broker.transports import database
from broker.transports.blobs import open_blobs
from broker.transports.brief import brief
from broker.transports.database import Row, Shelf
from broker.transports.embedded import EmbeddedLog
from broker.transports.memory import MemoryLog
from broker.transports.topics import EVENTS, STATE
from schemas.events import Completed, Dispatched, Started
from schemas.jobs import Job, JobDetails
from schemas.ledger_records import entry_record
from schemas.records import Record
from schemas.state_records import snapshot_record
from schemas.values import NOTHING, State
from tests.support.broker import a_broker
from tests.support.gateway import Ledger

START = 1_760_000_000  # s since 1970; a hundred jobs are created a second
AT_ONCE = 1000  # rows that the reference reads at once
PAUSE = 0.01  # s between looks at whether the loop is held: more of them would hold it


def snapshots(ended: int, queued: int, tenants: int) -> Iterator[Row]:
    """Jobs that have ended, then jobs that wait, as rows of the state topic."""
    for number in range(ended + queued):
        done = number < ended
        at = START + number / 100
        job = Job(
            tenant=f"t{number % tenants}" if tenants > 1 else "default",
            job_id=f"{number:x}-{number * 7919:016x}",
            seq=4 if done else 1,
            state=State.COMPLETED if done else State.QUEUED,
            created=iso(at),
            program_id="hello-world",
            details=JobDetails(
                program_id="hello-world",
                program_version="0fc9f9ad3e64da6d",
                params=msgspec.Raw(b'{"iterations":0}'),
                time_limit=300.0,
            ),
            attempt=int(done),
            epoch=int(done),
            backend="scripted",
            ended=iso(at) if done else None,
            value=msgspec.Raw(b'"Hello"') if done else NOTHING,
            traceparent=f"00-{number:032x}-{number:016x}-01",
            digest=f"{number:064x}",
        )
        record = snapshot_record(job, 1, job.created)
        key = record.key or b""
        yield number, int(at * 1000), key, record.value, brief(record.headers, key)


async def fill(path: Path, ended: int, queued: int, tenants: int) -> None:
    """Make the log, and put the rows into it."""
    log = EmbeddedLog(path)
    await log.open()
    shelf = shelf_of(log)
    await log.close()
    db = database.connect(path)
    with db:
        db.executemany(
            f"INSERT INTO {shelf.table} VALUES (?, ?, ?, ?, ?)", snapshots(ended, queued, tenants)
        )
    database.checkpoint(db, apsw.SQLITE_CHECKPOINT_TRUNCATE)
    db.close()


def shelf_of(log: EmbeddedLog) -> Shelf:
    """The one partition of the state topic."""
    return log._shelves[STATE][0]


def plain_reading(path: Path, table: str) -> float:
    """Seconds to read all rows, and to do nothing with them."""
    db = database.connect(path)
    began, position = time.perf_counter(), -1
    query = f"SELECT * FROM {table} WHERE position > ? ORDER BY position LIMIT {AT_ONCE}"
    while rows := db.execute(query, (position,)).fetchall():
        position = rows[-1][0]
    took = time.perf_counter() - began
    db.close()
    return took


class Held:
    """The longest time for which nothing else ran on the loop."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        """Look, until cancelled."""
        before = time.perf_counter()
        while True:
            await asyncio.sleep(PAUSE)
            before, last = time.perf_counter(), before
            self.longest = max(self.longest, before - last - PAUSE)


@asynccontextmanager
async def ticking() -> AsyncIterator[Held]:
    """A ticker beside what runs in the block."""
    held = Held()
    task = asyncio.create_task(held.run())
    try:
        yield held
    finally:
        task.cancel()


async def measure(path: Path) -> None:
    """Start a broker, and print what it took."""
    log = EmbeddedLog(path)
    await log.open()
    plain = plain_reading(path, shelf_of(log).table)
    print(f"plain reading of the same rows: {plain:.2f} s")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    broker = a_broker(log)
    async with ticking() as held:
        began = time.perf_counter()
        running = asyncio.create_task(broker.run())
        await broker.active.wait()
        took = time.perf_counter() - began
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"start to active: {took:.2f} s, {took / plain:.1f} × plain reading")
    print(f"the loop was held for at most {held.longest * 1e3:.0f} ms; memory +{more:.0f} MiB")
    broker.stop()
    await running
    await log.close()


# A gateway


def events(count: int) -> Iterator[Record]:
    """Four events of each job."""
    ledger, at = Ledger(MemoryLog()), {"attempt": 1, "backend": "aer_simulator"}
    for number in range(count // 4):
        job_id = f"{number:x}-{number * 7919:016x}"
        entries = (
            ledger.queue_entry(job_id, {"iterations": 0}),
            ledger.entry(job_id, Dispatched, worker="w1", instance="i1", **at),
            ledger.entry(job_id, Started, **at),
            ledger.entry(job_id, Completed, attempt=1, value=msgspec.Raw(b'"Hello"')),
        )
        yield from (entry_record(entry) for entry in entries)
        ledger.jobs.clear()


async def fill_events(path: Path, count: int) -> None:
    """Make the log, and put the events into it as old ones are stored."""
    log = EmbeddedLog(path)
    await log.open()
    shelf = log._shelves[EVENTS][0]
    await log.close()
    db, records, at = database.connect(path), events(count), 0
    start = int(time.time() * 1000) - 3_600_000 - count  # young enough to be kept
    while some := list(islice(records, database.BLOCK)):
        rows = [
            (at + n, start + at, record.key, record.value, database.pack(record.headers))
            for n, record in enumerate(some)
        ]
        data = zlib.compress(database.pack(rows), 3)
        values = (at, at + len(rows), start + at, data)
        db.execute(f"INSERT INTO {shelf.blocks} VALUES (?, ?, ?, ?)", values)
        at += len(rows)
    database.checkpoint(db, apsw.SQLITE_CHECKPOINT_TRUNCATE)
    db.close()


async def read_events(log: EmbeddedLog) -> float:
    """Seconds to read all events, and to do nothing with them."""
    began, at = time.perf_counter(), 0
    while records := await log.read(EVENTS, 0, at):
        at = records[-1].offset + 1
    return time.perf_counter() - began


async def measure_gateway(path: Path) -> None:
    """Start a gateway that has no local copy, and print when it answers what."""
    log = EmbeddedLog(path)
    await log.open()
    plain = await read_events(log)
    print(f"plain reading of the same events: {plain:.2f} s")
    gateway = Gateway(log, open_blobs("memory:///"), [], port=0)
    async with ticking() as held, aiohttp.ClientSession() as http:
        began = time.perf_counter()
        running = asyncio.create_task(gateway.run())
        url = await gateway.listening()

        async def until(path: str, right: Callable[[Any], bool]) -> None:
            while True:
                async with http.get(url + path) as response:
                    if response.status == 200 and right(await response.json()):
                        break
                await asyncio.sleep(0.05)
            took = time.perf_counter() - began
            print(f"{path}: {took:.2f} s, {took / plain:.2f} × plain reading")

        await until("/ready", lambda said: True)
        await until("/jobs?limit=20", lambda said: len(said["jobs"]) == 20)
        await until("/ready", lambda said: bool(said.get("whole", True)))
    print(f"the loop was held for at most {held.longest * 1e3:.0f} ms")
    gateway.stop()
    await running
    await log.close()


async def run(ended: int, queued: int, tenants: int, count: int) -> None:
    """Fill and measure."""
    print(machine())
    if count:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "log.db"
            await fill_events(path, count)
            print(f"{count} events: {path.stat().st_size / 1024**2:.0f} MiB")
            await measure_gateway(path)
    if not ended + queued:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        await fill(path, ended, queued, tenants)
        size = path.stat().st_size / 1024**2
        print(
            f"{ended} jobs that have ended, {queued} that wait, {tenants} tenants: {size:.0f} MiB"
        )
        await measure(path)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ended", type=int, default=1_000_000)
    parser.add_argument("--queued", type=int, default=1_000_000)
    parser.add_argument("--tenants", type=int, default=1)
    parser.add_argument("--events", type=int, default=1_000_000)
    asked = parser.parse_args()
    asyncio.run(run(asked.ended, asked.queued, asked.tenants, asked.events))


if __name__ == "__main__":
    main()
