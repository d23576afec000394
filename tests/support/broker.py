"""The broker role on a memory log: requests in, history out, and workers that do as they are told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from broker.core.reader_rule import PartitionReader
from broker.core.roster import Roster
from broker.errors import LogUnavailableError
from broker.ledger.broker import Broker
from broker.ledger.options import Options
from broker.ledger.tenants import Tenants
from broker.telemetry import times
from broker.transports.blobs import Blobs, open_blobs
from broker.transports.log import Log, TopicPartition
from broker.transports.memory import MemoryLog
from broker.transports.topics import DEAD_LETTERS, EVENTS, INBOX, REPORTS, STATE, STATUS
from broker.worker.attempts import name_of
from executors.scripted import scripted_backend
from schemas.cloudevents import (
    UnreadableError,
    decode,
    report_record,
    request_record,
    status_record,
)
from schemas.events import AnyEvent
from schemas.inbox import CancelAttempt, Dispatch, Instruction
from schemas.jobs import Job
from schemas.ledger import Claim, Deletion, Entry, Tagging
from schemas.ledger_records import read_ledger
from schemas.records import Record, Stored
from schemas.reports import LAST, Began, Body, Report, Returned
from schemas.requests import CancelJob, DeleteJob, SubmitJob, TagJob
from schemas.specification import Program, parse_specification
from schemas.state_records import DELETED
from schemas.topics import requests_of
from schemas.values import JobKey
from schemas.workers import AttemptName, BackendAnnounced, Heartbeat
from tests.support.awaiting import eventually

until = eventually
# Everything twenty times as fast as it is set up by default.
QUICK = Options(tick=0.02, lease=0.2, snapshot=0.01)
ALONE = replace(QUICK, alone=True)
HELLO = Returned(msgspec.Raw(b'"Hello, World!"'))


@cache
def hello_world() -> Program:
    """The program that every test runs."""
    return built_in("hello-world")


def built_in(name: str) -> Program:
    """The built-in program of that name, without its code."""
    data = (resources.files("schemas") / "programs" / f"{name}.json").read_bytes()
    return Program(parse_specification(data))


def stored(log: MemoryLog, topic: str) -> list[Stored]:
    """Everything on *topic*, partition by partition."""
    found: list[Stored] = []
    for partition in range(log.partitions(topic)):
        found += log.tails[TopicPartition(topic, partition)].all()
    return found


def ledger(log: MemoryLog) -> dict[JobKey, list[Entry]]:
    """What every reader makes of the ledger: the entries that count, job by job."""
    readers: dict[int, PartitionReader] = {}
    histories: dict[JobKey, list[Entry]] = {}
    for record in stored(log, EVENTS):
        reader = readers.setdefault(record.partition, PartitionReader())
        try:
            found = read_ledger(record)
        except UnreadableError:
            continue
        if isinstance(found, Claim):
            reader.claim(found)
            continue
        if isinstance(found, Deletion):
            if reader.permits(found.epoch):
                histories[found.key] = []
            continue
        if isinstance(found, Tagging):
            continue
        history = histories.setdefault(found.key, [])
        if reader.counts(found, len(history)):
            history.append(found)
    return {key: history for key, history in histories.items() if history}


def check_histories(log: MemoryLog, ended: bool = True) -> dict[JobKey, list[Entry]]:
    """Rules 1 and 2: numbers without a gap, one terminal event, and it is the last."""
    histories = ledger(log)
    for key, history in histories.items():
        assert [entry.event.seq for entry in history] == list(range(1, len(history) + 1)), key
        assert not any(entry.event.terminal for entry in history[:-1]), key
        if ended:
            assert history[-1].event.terminal, (key, history[-1])
    return histories


class Side:
    """What clients see and do."""

    def __init__(
        self, log: MemoryLog, blobs: Blobs, roster: Roster | None = None, tenant: str = "default"
    ) -> None:
        self.log, self.tenant, self._requests = log, tenant, requests_of(tenant).name
        self.blobs = blobs
        self.roster = roster  # the broker's

    async def of(self, tenant: str) -> "Side":
        """What clients of *tenant* see and do."""
        side = Side(self.log, self.blobs, self.roster, tenant)
        await self.log.provide([side._requests])
        return side

    async def submit(self, *job_ids: str | None, **more: Any) -> None:
        """Ask for jobs of `hello-world`, or what *more* says."""
        bodies = [
            SubmitJob(**({"program_id": "hello-world", "job_id": job_id} | more))
            for job_id in job_ids
        ]
        await self.log.append(
            self._requests, [request_record(body, times.now()) for body in bodies]
        )

    async def cancel(self, job_id: str) -> None:
        await self.log.append(self._requests, [request_record(CancelJob(job_id), times.now())])

    async def delete(self, job_id: str) -> None:
        await self.log.append(self._requests, [request_record(DeleteJob(job_id), times.now())])

    async def tag(self, job_id: str, *tags: str) -> None:
        await self.log.append(self._requests, [request_record(TagJob(job_id, tags), times.now())])

    async def raw(self, *values: bytes, **record: Any) -> None:
        """Put bytes on the requests topic, whatever they are."""
        await self.log.append(self._requests, [Record(value, **record) for value in values])

    def events(self, job_id: str) -> list[AnyEvent]:
        return [entry.event for entry in ledger(self.log).get(JobKey(self.tenant, job_id), [])]

    def kinds(self, job_id: str) -> list[str]:
        return [event.kind for event in self.events(job_id)]

    async def reaches(self, job_id: str, kind: str, within: float = 10.0) -> list[AnyEvent]:
        """The job's events once *kind* is among them."""
        await until(lambda: kind in self.kinds(job_id), within)
        return self.events(job_id)

    async def ends(self, job_id: str, within: float = 10.0) -> list[AnyEvent]:
        """The job's events once it has ended."""
        await until(lambda: (seen := self.events(job_id)) and seen[-1].terminal, within)
        return self.events(job_id)

    def snapshots(self) -> dict[str, Job]:
        """The newest snapshot of each job."""
        newest = {record.key: record for record in stored(self.log, STATE)}
        return {
            (record.key or b"").decode(): decode(record.value, Job)
            for record in newest.values()
            if record.key != b"~checkpoint" and record.value and not record.header(DELETED)
        }

    async def is_offered(self, workers: int) -> None:
        """Until so many workers take attempts, with backends that the broker knows."""

        def known() -> bool:
            assert self.roster is not None
            takers = [*self.roster.takers()]
            pools = [pool for worker in takers for pool in worker.pools]
            backends = {name for pool in pools for name in pool.backends}
            return len(takers) == workers and all(self.roster.backends.get(b) for b in backends)

        await until(known)

    def letters(self) -> list[Stored]:
        return stored(self.log, DEAD_LETTERS)


class Hand:
    """A worker by hand: beats quickly, and reports when a test says so.

    With *runs*, it begins and returns whatever it is told to run.
    """

    def __init__(
        self,
        log: MemoryLog,
        name: str = "w1",
        *,
        slots: int = 2,
        instance: str = "i1",
        runs: bool = False,
        backends: Sequence[BackendAnnounced] = (),
    ) -> None:
        self.log = log
        self.name, self.instance, self.slots, self.runs = name, instance, slots, runs
        self.backends = tuple(backends) or (scripted_backend(),)
        self.told: list[Instruction] = []
        self.dispatches: dict[str, Dispatch] = {}  # newest, by job
        self.running: dict[AttemptName, int] = {}  # number of the newest report
        self.over: set[AttemptName] = set()  # of those
        self.ignores: set[str] = set()  # jobs that it does not run by itself
        self.deaf = False  # cut off: hears nothing and says nothing
        self.stopping = self.left = False
        self._inbox = 0
        self._epoch = 0  # the highest that was heard

    async def work(self) -> None:
        """Beat, and read the inbox, until cancelled."""
        partition = self.log.partition_of(INBOX, self.name.encode())
        self._inbox = (await self.log.bounds(INBOX, partition)).next
        follower = self.log.follow({TopicPartition(INBOX, partition): self._inbox})
        await self._append_status(*self.backends)
        beating = asyncio.create_task(self._beat())
        try:
            while True:
                records = await follower.next(1.0)
                mine = [r for r in records if r.key == self.name.encode()]
                await self._heed([decode(record.value, Instruction) for record in mine])
                if records:
                    self._inbox = records[-1].offset + 1
        finally:
            beating.cancel()
            await follower.close()

    async def report(self, job_id: str, *bodies: Body) -> None:
        """Say something about the newest attempt at *job_id*."""
        await self.append(*(self.say(job_id, body) for body in bodies))

    def say(self, job_id: str, body: Body) -> Record:
        """The next report of that attempt, as a record."""
        dispatch = self.dispatches[job_id]
        name = name_of(dispatch)
        self.running[name] = number = self.running.get(name, 0) + 1
        if isinstance(body, LAST):
            self.over.add(name)
        return report_record(
            Report(
                tenant=dispatch.tenant,
                job_id=job_id,
                attempt=dispatch.attempt,
                epoch=dispatch.epoch,
                number=number,
                worker=self.name,
                instance=self.instance,
                time=times.now(),
                body=body,
            )
        )

    async def append(self, *records: Record) -> None:
        await self.log.append(REPORTS, records)

    async def is_told(self, job_id: str, attempt: int = 1) -> Dispatch:
        """Its dispatch of that attempt, once it has it."""
        await until(lambda: (d := self.dispatches.get(job_id)) is not None and d.attempt >= attempt)
        return self.dispatches[job_id]

    def junk(self, value: bytes) -> Record:
        """A report that says nothing."""
        return Record(value, b"default/junk")

    def cancels(self, job_id: str) -> list[CancelAttempt]:
        return [t for t in self.told if isinstance(t, CancelAttempt) and t.job_id == job_id]

    async def beat(self) -> None:
        """Beat once."""
        on = [name for name in self.running if name not in self.over]
        await self._append_status(
            Heartbeat(
                worker=self.name,
                instance=self.instance,
                slots=self.slots,
                backends=tuple(backend.name for backend in self.backends),
                attempts=(*on, *(name for name in self.running if name in self.over)),
                running=len(on),
                inbox=self._inbox,
                stopping=self.stopping,
                left=self.left,
            )
        )

    async def _beat(self) -> None:
        while True:
            if not self.deaf:
                await self.beat()
            await asyncio.sleep(0.05)

    async def _heed(self, instructions: Sequence[Instruction]) -> None:
        await eventually(lambda: not self.deaf)
        self.told += instructions
        said: list[Record] = []
        for dispatch in instructions:
            if not isinstance(dispatch, Dispatch) or dispatch.instance != self.instance:
                continue
            told_by = max(dispatch.epoch, dispatch.told_by)
            if told_by < self._epoch:  # as a worker does: of a broker that was superseded
                continue
            self._epoch = told_by
            self.dispatches[dispatch.job_id] = dispatch
            self.running.setdefault(name_of(dispatch), 0)
            if self.runs and dispatch.job_id not in self.ignores:
                said += [self.say(dispatch.job_id, body) for body in (Began(), HELLO)]
        await self.append(*said)

    async def _append_status(self, *bodies: Any) -> None:
        with suppress(LogUnavailableError):
            await self.log.append(STATUS, [status_record(body, times.now()) for body in bodies])


@asynccontextmanager
async def running(*roles: Any) -> AsyncIterator[list["asyncio.Task[None]"]]:
    """Brokers and hands that run while the block does; then they are cut off."""
    tasks = [
        asyncio.create_task(role.work() if isinstance(role, Hand) else role.run()) for role in roles
    ]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def a_broker(
    log: Log, blobs: Blobs | None = None, options: Options = ALONE, tenants: Tenants | None = None
) -> Broker:
    """A broker that knows `hello-world`."""
    blobs = blobs or open_blobs("memory:///")
    return Broker(log, blobs, [hello_world()], options=options, tenants=tenants)


@asynccontextmanager
async def system(
    *hands: Hand,
    log: MemoryLog | None = None,
    options: Options = ALONE,
    tenants: Tenants | None = None,
) -> AsyncIterator[Side]:
    """An active broker, with *hands* to work for it."""
    log = log or (hands[0].log if hands else MemoryLog())
    blobs = open_blobs("memory:///")
    broker = a_broker(log, blobs, options, tenants)
    async with running(broker, *hands) as tasks:
        await until(lambda: broker.active.is_set() or tasks[0].done())
        yield Side(log, blobs, broker.means.roster)
