"""What one broker carries: jobs a second through the role alone, on the memory log.

A scripted worker reports at once: per job one request and three reports come in, five events, one
dispatch and a snapshot go out. The reference is the same records appended and read back with
nothing decided.
"""

import argparse
import asyncio
import logging
import time

import msgspec
import structlog

from benchmarks.common import machine
from broker.telemetry import times
from broker.transports.log import TopicPartition
from broker.transports.memory import MemoryLog
from broker.transports.topics import EVENTS, INBOX, REPORTS, REQUESTS, STATUS
from executors.scripted import scripted_backend
from schemas.cloudevents import decode, report_record, request_record, status_record
from schemas.inbox import Dispatch, Instruction
from schemas.records import Record
from schemas.reports import Began, Published, Report, Returned
from schemas.requests import SubmitJob
from schemas.workers import Heartbeat
from tests.support.broker import ALONE, a_broker

BODIES = (Began(), Published(msgspec.Raw(b'{"iteration":0}')), Returned(msgspec.Raw(b'"done"')))
WORKER, INSTANCE = "w1", "i1"


class Load:
    """Submits at once, and plays the worker."""

    def __init__(self, log: MemoryLog, jobs: int, slots: int) -> None:
        self.log, self.jobs, self.slots = log, jobs, slots
        self.ended = 0
        self.cpu = 0.0  # s spent here rather than in the broker

    def requests(self) -> list[Record]:
        return [
            request_record(SubmitJob("hello-world", job_id=f"job-{number}"), times.now())
            for number in range(self.jobs)
        ]

    async def work(self) -> None:
        name = WORKER.encode()
        where = TopicPartition(INBOX, self.log.partition_of(INBOX, name))
        follower = self.log.follow({where: 0})
        await self._beat(0)
        while self.ended < self.jobs:
            records = await follower.next(1.0)
            began = time.thread_time()
            told = [decode(record.value, Instruction) for record in records]
            reports = [r for body in told if isinstance(body, Dispatch) for r in _reports(body)]
            self.cpu += time.thread_time() - began
            self.ended += len(told)
            await self.log.append(REPORTS, reports)

    async def _beat(self, inbox: int) -> None:
        backend = scripted_backend()
        beat = Heartbeat(
            worker=WORKER, instance=INSTANCE, slots=self.slots, backends=(backend.name,)
        )
        time = times.now()
        await self.log.append(STATUS, [status_record(body, time) for body in (backend, beat)])

    async def beat(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            await self._beat(0)


def _reports(dispatch: Dispatch) -> list[Record]:
    time = times.now()
    return [
        report_record(
            Report(
                tenant=dispatch.tenant,
                job_id=dispatch.job_id,
                attempt=dispatch.attempt,
                epoch=dispatch.epoch,
                number=number,
                worker=WORKER,
                instance=INSTANCE,
                time=time,
                body=body,
            )
        )
        for number, body in enumerate(BODIES, 1)
    ]


def _terminal(log: MemoryLog) -> int:
    return sum(
        1
        for p in range(log.partitions(EVENTS))
        for record in log.tails[TopicPartition(EVENTS, p)].all()
        if record.header("ce_type") == b"qjb.event.completed"
    )


async def broker_alone(jobs: int, slots: int) -> tuple[float, float]:
    """Seconds, and seconds of CPU without the load's own, for *jobs*."""
    log = MemoryLog()
    load = Load(log, jobs, slots)
    broker = a_broker(log, options=ALONE.__class__(alone=True))
    running = asyncio.create_task(broker.run())
    beating = asyncio.create_task(load.beat())
    await broker.active.wait()
    requests = load.requests()
    began, cpu = time.perf_counter(), time.thread_time()
    working = asyncio.create_task(load.work())
    for start in range(0, jobs, 200):
        await log.append(REQUESTS, requests[start : start + 200])
    await working
    while (found := _terminal(log)) < jobs:
        await asyncio.sleep(0.05)
    assert found == jobs
    seconds, cpu = time.perf_counter() - began, time.thread_time() - cpu - load.cpu
    beating.cancel()
    broker.stop()
    await running
    return seconds, cpu


async def bare_log(jobs: int) -> float:
    """Seconds to append and read back as many records as the jobs need, deciding nothing."""
    log = MemoryLog()
    record = Record(b"x" * 300, b"default/job", (("ce_type", b"x"),) * 10)
    follower = log.follow({TopicPartition(EVENTS, p): 0 for p in range(log.partitions(EVENTS))})
    began, left = time.perf_counter(), jobs * 11
    for _ in range(0, jobs * 11, 500):
        await log.append(EVENTS, [record] * 500)
    while left > 0:
        left -= len(await follower.next(1.0))
    return time.perf_counter() - began


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--jobs", type=int, default=20_000)
    arguments.add_argument("--slots", type=int, default=64)
    chosen = arguments.parse_args()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        cache_logger_on_first_use=True,
    )
    print(machine())
    bare = await bare_log(chosen.jobs)
    print(f"bare log, 11 records a job:  {1e6 * bare / chosen.jobs:7.1f} us a job")
    for slots in (chosen.slots, 8):
        seconds, cpu = await broker_alone(chosen.jobs, slots)
        each = 1e6 * cpu / chosen.jobs
        print(
            f"broker, {slots:3d} slots:          {each:7.1f} us of CPU a job, "
            f"{chosen.jobs / seconds:7.0f} jobs/s; {each / (1e6 * bare / chosen.jobs):.1f} x bare; "
            f"at 1,500 jobs/s {100 * 1500 * each / 1e6:.0f} % of a core"
        )


if __name__ == "__main__":
    asyncio.run(main())
