"""The worker role on a memory log, and a broker's side of the conversation with it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from broker.library import Library
from broker.telemetry import times
from broker.transports.blobs import Blobs, open_blobs
from broker.transports.log import TopicPartition
from broker.transports.memory import MemoryLog
from broker.transports.topics import INBOX, REPORTS, STATUS
from broker.worker.host import Worker
from broker.worker.options import Options
from broker.worker.pools import Pool
from executors.base import Executor
from executors.scripted import ScriptedExecutor
from schemas.cloudevents import decode, instruction_record
from schemas.inbox import CancelAttempt, Dispatch, Instruction, Recorded
from schemas.records import Stored
from schemas.reports import LAST, Report, each
from schemas.specification import Program
from schemas.workers import BackendAnnounced, EnvironmentAnnounced, Heartbeat, Status
from tests.support.awaiting import eventually

until = eventually


class Bench:
    """One worker, what it is told and what it says."""

    def __init__(self, log: MemoryLog, blobs: Blobs, worker: Worker) -> None:
        self.log = log
        self.blobs = blobs
        self.worker = worker

    def dispatch(self, job_id: str = "j1", **more: Any) -> Dispatch:
        """An instruction for this worker."""
        facts: dict[str, Any] = {
            "tenant": "default",
            "attempt": 1,
            "epoch": 1,
            "instance": self.worker.instance,
            "program_id": "hello-world",
            "program_version": "1",
            "backend": "scripted",
            "time_limit": 60.0,
            "params": msgspec.Raw(b"{}"),
        }
        return Dispatch(job_id=job_id, **(facts | more))

    async def tell(self, *bodies: Instruction, worker: str | None = None) -> None:
        """Put instructions into its inbox."""
        to = worker or self.worker.worker_id
        records = [instruction_record(to, body, times.now()) for body in bodies]
        await self.log.append(INBOX, records)

    async def recorded(self, number: int, job_id: str = "j1") -> None:
        """Tell it that what report *number* of the first attempt said is on the ledger."""
        name: dict[str, Any] = {"tenant": "default", "attempt": 1, "epoch": 1}
        await self.tell(Recorded(job_id=job_id, number=number, **name))

    async def cancel(self, job_id: str = "j1", **more: Any) -> None:
        """Tell it to end the attempt."""
        facts: dict[str, Any] = {"attempt": 1, "epoch": 1, "reason": "user_request"}
        await self.tell(CancelAttempt(tenant="default", job_id=job_id, **(facts | more)))

    def reports(self, job_id: str = "j1") -> list[Report]:
        """What it has reported about a job so far."""
        found = [decode(record.value, Report) for record in self.stored(REPORTS)]
        return [
            each_one for report in found if report.job_id == job_id for each_one in each(report)
        ]

    def kinds(self, job_id: str = "j1") -> list[str]:
        """The kinds of those reports."""
        return [report.body.__struct_config__.tag for report in self.reports(job_id)]

    async def ended(self, job_id: str = "j1") -> list[Report]:
        """Its reports, once there is a last one."""
        await until(lambda: any(isinstance(r.body, LAST) for r in self.reports(job_id)))
        return self.reports(job_id)

    def heartbeats(self) -> list[Heartbeat]:
        return [body for body in self._status() if isinstance(body, Heartbeat)]

    def announcements(self) -> list[BackendAnnounced]:
        return [body for body in self._status() if isinstance(body, BackendAnnounced)]

    def environments(self) -> list[EnvironmentAnnounced]:
        return [body for body in self._status() if isinstance(body, EnvironmentAnnounced)]

    def _status(self) -> list[Status]:
        return [decode(record.value, Status) for record in self.stored(STATUS)]

    def stored(self, topic: str) -> Sequence[Stored]:
        """The records of a topic that are kept."""
        tails = [
            self.log.tails[TopicPartition(topic, partition)]
            for partition in range(self.log.partitions(topic))
        ]
        return [record for tail in tails for record in tail.all()]


@asynccontextmanager
async def working(
    executor: Executor | None = None,
    *,
    log: MemoryLog | None = None,
    worker_id: str = "w1",
    slots: int = 2,
    pools: Sequence[Pool] = (),
    blobs: Blobs | None = None,
    programs: Iterable[Program] = (),
    **options: Any,
) -> AsyncIterator[Bench]:
    """A worker that runs while the block does; then it is stopped in an orderly way."""
    log = log or MemoryLog()
    blobs = blobs or open_blobs("memory:///")
    worker = Worker(
        *(log, blobs, pools or [Pool("p", executor or ScriptedExecutor(), slots)], worker_id),
        programs=Library(log, programs) if programs else None,
        options=Options(**options),
    )
    task = asyncio.create_task(worker.run())
    await until(lambda: worker.ready.is_set() or task.done())
    try:
        yield Bench(log, blobs, worker)
        worker.stop()
        await asyncio.wait_for(task, 20)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
