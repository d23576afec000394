"""What it costs to say why a job waits, with 1,000,000 jobs that wait for one device.

`python -m benchmarks.why [--queued N] [--tenants N] [--questions N] [--file PATH]`. A gateway's local
copy with all of them is asked as `GET /jobs/{job_id}/queue` asks it, for jobs anywhere in the queue, of
which it names the first 1,000. The reference is a job looked up by its id in the same file. Also: what
it costs a broker, once a second, to tell of that queue.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import machine
from benchmarks.laboratory import START
from broker.core.book import Book
from broker.core.lanes import place_of
from broker.core.overview import queue_snapshots
from broker.core.restoring import Restoring
from broker.core.roster import Roster
from broker.gateway.api.queues import usage_of
from broker.gateway.api.shapes_of_queues import queue_object
from broker.gateway.fleet import Fleet
from broker.gateway.read_model import ReadModel
from broker.gateway.rows import JobRow, PartitionRow, Transaction
from broker.gateway.store import Store
from broker.gateway.tallies import Tally
from broker.gateway.waiting import stand_of
from broker.telemetry.times import iso
from executors.scripted import scripted_backend
from schemas.cloudevents import encode, status_record
from schemas.jobs import Job, JobDetails
from schemas.records import Stored
from schemas.tenants import NO_QUOTA
from schemas.topics import STATUS
from schemas.values import JobKey, State
from schemas.workers import Heartbeat, QueueSnapshot, Status, Tick

DEVICE = "device"
AT_ONCE = 4_000  # jobs that are written, or restored, together
TIMES = 20  # that a queue is told


def jobs(queued: int, tenants: int) -> Iterator[Job]:
    """Jobs of tenants in turns; a hundred come a second."""
    details = JobDetails(program_id="sampler", program_version="0fc9f9ad3e64da6d", time_limit=300.0)
    for number in range(queued):
        yield Job(
            tenant=f"t{number % tenants}",
            job_id=f"{number:x}-{number * 7919:016x}",
            seq=1,
            state=State.QUEUED,
            created=iso(START + number / 100),
            program_id="sampler",
            details=details,
            backend=DEVICE,
        )


def fill(store: Store, queued: int, tenants: int) -> None:
    """Write them as a gateway does."""
    rows = (JobRow(number, job, False) for number, job in enumerate(jobs(queued, tenants), 1))
    tallies = [Tally(f"t{number}", queued // tenants) for number in range(tenants)]
    store.write(Transaction([PartitionRow(0, 0, 0, 0, "")], [], [], tallies=tallies, filled=True))
    while some := list(islice(rows, AT_ONCE)):
        store.write(Transaction([], some, []))


def snapshot(queued: int, tenants: int) -> QueueSnapshot:
    """What a broker tells of the queue; prints what that costs it."""
    book, roster = Book(10), Roster()
    roster.announce(scripted_backend(DEVICE, simulator=False))
    roster.hear(Heartbeat(worker="w", instance="i", slots=1, backends=(DEVICE,)))
    keys = (job.key for job in jobs(queued, tenants))
    restoring = Restoring()
    while some := list(islice(keys, AT_ONCE)):
        places = [place_of(DEVICE, 0, again=False, tenant=key.tenant) for key in some]
        restoring.take([key.encode() for key in some], places)
    for block in restoring.blocks():
        book.queues.restore(block)
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        (found,) = queue_snapshots(book, roster, (), {})
        took.append(time.perf_counter() - began)
    size = len(encode(found)) / 1024
    print(f"the broker tells of it in {statistics.median(took) * 1e3:.1f} ms, {size:.0f} KiB")
    return found


def fleet_with(*said: Status) -> Fleet:
    """What a gateway knows once that was *said*."""
    fleet = Fleet()
    for offset, status in enumerate(said):
        record = status_record(status, iso(START))
        millis = round(START * 1000)
        key, value, headers = record.key, record.value, record.headers
        fleet.take(Stored(STATUS.name, 0, offset, millis, key, value, headers))
    return fleet


class Asked(NamedTuple):
    """What one question took: seconds."""

    found: float  # to look the job up
    answered: float  # in all
    processor: float  # of this process, for all of that
    is_exact: bool  # the position


async def ask(model: ReadModel, fleet: Fleet, key: JobKey) -> Asked:
    """Ask why the job that *key* names waits."""
    began, used = time.perf_counter(), time.process_time()
    hot = model.locate(key)
    found = time.perf_counter()
    assert hot is not None
    stand = await stand_of(hot.job, fleet, model, START)
    usage = await usage_of(key.tenant, NO_QUOTA, model, stand)
    encode(queue_object(hot.job, stand, usage, START))
    assert stand.start is not None
    took, used = time.perf_counter() - began, time.process_time() - used
    return Asked(found - began, took, used, stand.is_exact)


async def measure(path: Path, queued: int, tenants: int, questions: int) -> None:
    """Print what questions take."""
    queue = snapshot(queued, tenants)
    said = Heartbeat(worker="w", instance="i", slots=1, backends=(DEVICE,))
    tick = Tick(broker="b", epoch=1, number=1, active=True)
    fleet = fleet_with(scripted_backend(DEVICE, simulator=False), said, tick, queue)
    model = ReadModel(path, 64 * 1024 * 1024, looked_up=1)
    await model.open("benchmark", 1)
    writing = asyncio.create_task(model.write_behind())
    while any(task.get_name() == "gateway-verify" for task in asyncio.all_tasks()):
        await asyncio.sleep(0.1)  # a copy that was opened is looked at as a whole
    chance = random.Random(7)
    asked = set(chance.sample(range(queued), questions)) | set(range(0, 1_000, 50))
    keys = [job.key for number, job in enumerate(jobs(queued, tenants)) if number in asked]
    chance.shuffle(keys)
    found = [await ask(model, fleet, key) for key in keys]
    writing.cancel()
    await model.close()
    by_key = statistics.median(each.found for each in found)
    print(f"a look-up by key: {by_key * 1e6:.0f} µs")
    for name, exact in (("that the queue names", True), ("further back", False)):
        these = [each for each in found if each.is_exact is exact]
        if these:
            took, used = (sorted(some) for some in zip(*(each[1:3] for each in these), strict=True))
            p50, p99, middle = (
                took[len(took) // 2],
                took[len(took) * 99 // 100],
                used[len(used) // 2],
            )
            print(
                f"why one of {len(took)} jobs {name} waits: p50 {p50 * 1e3:.2f}, p99 {p99 * 1e3:.2f},"
                f" at most {took[-1] * 1e3:.2f} ms; processor time p50 {middle * 1e3:.2f},"
                f" at most {used[-1] * 1e3:.2f} ms; {p50 / by_key:.0f} × a look-up"
            )


def main() -> None:
    """Fill, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queued", type=int, default=1_000_000)
    parser.add_argument("--tenants", type=int, default=40)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--file", type=Path, help="kept, and used again")
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        path = asked.file or Path(folder) / "gateway.db"
        store = Store(path)
        if store.open("benchmark").newest != asked.queued:
            store.begin("benchmark")
            fill(store, asked.queued, asked.tenants)
        store.close()
        asyncio.run(measure(path, asked.queued, asked.tenants, asked.questions))


if __name__ == "__main__":
    main()
