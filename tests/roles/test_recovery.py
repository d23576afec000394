"""A broker that takes over very many jobs: nothing else has to wait, and nobody loses their place."""

import asyncio
from itertools import islice

import pytest
from msgspec.structs import replace

from broker.core.job import apply
from broker.core.lanes import UNPLACED
from broker.core.spending import Spent
from broker.ledger.recovery import AT_ONCE, Replica
from broker.ledger.tenants import NamedTenants
from broker.telemetry.times import iso
from broker.transports.memory import MemoryLog
from broker.transports.topics import STATE
from schemas.events import CallMetered, Completed, Dispatched, Queued
from schemas.jobs import Job, JobDetails
from schemas.ledger import Checkpoint, DaySpent, Entry
from schemas.ledger_records import entry_record
from schemas.records import Record
from schemas.state_records import checkpoint_record, snapshot_record
from schemas.topics import EVENTS, requests_of
from schemas.values import JobKey, State
from tests.support.awaiting import steps
from tests.support.broker import Hand, ledger, system, until

COUNT = 20_000


def job(number: int, ended: bool) -> Job:
    """One that came at second *number*."""
    return Job(
        tenant="default",
        job_id=f"{'ended' if ended else 'waits'}-{number}",
        seq=4 if ended else 1,
        state=State.COMPLETED if ended else State.QUEUED,
        created=iso(1_760_000_000 + number),
        program_id="hello-world",
        details=JobDetails(program_id="hello-world", program_version="1", time_limit=60.0),
        backend="scripted",
    )


async def filled(log: MemoryLog, count: int) -> MemoryLog:
    """With *count* jobs that have ended and *count* that wait, whose snapshots came in any order."""
    records = (
        snapshot_record(job(number * 7919 % count, ended), 1, iso(0))
        for number in range(count)
        for ended in (True, False)
    )
    while some := list(islice(records, 1000)):
        await log.append(STATE, some)
    return log


async def test_the_loop_goes_on_while_very_many_jobs_are_taken_over() -> None:
    replica = Replica(await filled(MemoryLog(2), COUNT), COUNT)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await steps()

    task = asyncio.create_task(others())
    await replica.load()
    task.cancel()

    assert turns > 3 * COUNT / AT_ONCE
    assert len(replica.book.jobs) == COUNT
    assert replica.book.knows(JobKey("default", "ended-7"))


async def test_those_who_wait_keep_their_places_in_whatever_order_snapshots_are_read() -> None:
    replica = Replica(await filled(MemoryLog(3), 500), 500)
    await replica.load()

    waiting = replica.book.queues.waiting("scripted", 500)
    assert [key.job_id for key in waiting] == [f"waits-{number}" for number in range(500)]


@pytest.mark.parametrize("key", [b"default/waits-2", b"nobody", b"\xff/\x00"])
async def test_a_snapshot_under_the_key_of_another_job_is_passed_over(key: bytes) -> None:
    log = await filled(MemoryLog(1), 2)
    record = snapshot_record(job(0, ended=False), 1, iso(0))
    await log.append(STATE, [Record(record.value, key, record.headers)])
    replica = Replica(log, 10)
    await replica.load()

    assert replica.book.queues.count("scripted") == len(replica.book.jobs) == 2


async def test_who_comes_after_a_recovery_stands_behind_those_who_were_there() -> None:
    log = await filled(MemoryLog(2), 3)
    hand = Hand(log, slots=1, runs=True)
    async with system(hand) as qjb:
        await qjb.submit("waits-1", "ended-1", "new")  # two of them are known
        await until(lambda: "new" in hand.dispatches)
        await qjb.ends("new")
        assert list(hand.dispatches) == ["waits-0", "waits-1", "waits-2", "new"]


async def test_a_damaged_snapshot_that_is_found_late_is_passed_over_and_the_others_go() -> None:
    log = await filled(MemoryLog(2), 3)
    record = snapshot_record(job(0, ended=False), 2, iso(0))
    digest = b'"digest":"","warnings":[1]'  # nothing that is looked at before it is its turn
    assert record.value.endswith(b"}")
    damaged = record.value[:-1] + b"," + digest + b"}"
    await log.append(STATE, [Record(damaged, record.key, record.headers)])
    hand = Hand(log, slots=1, runs=True)
    async with system(hand) as qjb:
        await qjb.submit("new")
        await until(lambda: "new" in hand.dispatches)
        await qjb.ends("new")

        assert list(hand.dispatches) == ["waits-1", "waits-2", "new"]


async def test_snapshots_that_say_nothing_keep_none_of_the_others_from_being_taken_over() -> None:
    log = await filled(MemoryLog(1), 5)
    good = snapshot_record(job(7, ended=False), 1, iso(0))
    for number, value in enumerate((b"x", b"[]", b"{}", b"\xff", b"[" * 100_000, good.value)):
        await log.append(STATE, [Record(value, b"default/odd-%d" % number, good.headers)])
    replica = Replica(log, 10)
    await replica.load()

    assert replica.book.queues.count("scripted") == len(replica.book.jobs) == 5


async def test_jobs_that_run_and_jobs_that_wait_for_any_backend_are_taken_over() -> None:
    log = MemoryLog(2)
    runs = replace(job(1, ended=False), state=State.RUNNING, worker="w1", attempt=1, epoch=1)
    again = replace(job(3, ended=False), attempt=1)
    first = replace(job(4, ended=False), details=replace(runs.details, priority=5))
    anywhere = replace(job(5, ended=False), backend=None)
    jobs = (runs, job(2, ended=False), again, first, anywhere)
    await log.append(STATE, [snapshot_record(each, 1, iso(0)) for each in jobs])
    replica = Replica(log, 10)
    await replica.load()

    book = replica.book
    assert {key: book.jobs[key] for key in book.jobs} == {each.key: each for each in jobs}
    assert list(book.attempts_of("w1")) == [runs.key]
    waiting = book.queues.waiting("scripted", 9)
    assert waiting == [first.key, again.key, job(2, ended=False).key]
    assert book.queues.waiting(UNPLACED, 9) == [anywhere.key]
    book.queues.seekers.look_again()
    assert book.queues.seekers.to_look_at(9) == [(anywhere.key, UNPLACED)]


QUEUED = Queued(
    job_id="a",
    seq=1,
    time="2026-11-29T10:00:00.000Z",
    state=State.QUEUED,
    backend="scripted",
    job=JobDetails(program_id="p", program_version="1", time_limit=60.0, shots=100),
)


def told(job_id: str) -> list[Entry]:
    """A job that came, ran for a call of 1.5 s and ended."""
    begin = {"job_id": job_id, "time": QUEUED.time}
    queued = replace(QUEUED, job_id=job_id)
    running = Dispatched(
        **begin, seq=2, state=State.RUNNING, attempt=1, backend="scripted", worker="w", instance="i"
    )
    metered = CallMetered(
        **begin, seq=3, state=State.RUNNING, attempt=1, tag="call", device_seconds=1.5
    )
    ended = Completed(**begin, seq=4, state=State.COMPLETED, attempt=1, device_seconds=1.5)
    key = JobKey("default", job_id)
    return [Entry(key, event, 1) for event in (queued, running, metered, ended)]


@pytest.mark.parametrize("overtaken", [0, 1, 3, 4])
async def test_what_tenants_used_is_counted_once_whichever_snapshots_were_ahead_of_the_checkpoint(
    overtaken: int,
) -> None:
    log, entries, job = MemoryLog(1), told("a"), None
    for entry in entries[:overtaken]:
        job = apply(job, entry)
    spent = {"default": (DaySpent("2026-11-28", 10.0, 5, 7),)}
    checkpoint = Checkpoint(epoch=1, ledger={0: 0}, inputs={}, spent=spent)
    await log.append(STATE, [checkpoint_record(checkpoint, iso(0))])
    if job is not None:
        await log.append(STATE, [snapshot_record(job, 1, iso(0))])
    await log.append(EVENTS.name, [entry_record(it) for it in (*entries, *told("b")[:3])])
    replica = Replica(log, 10)
    await replica.load()
    await replica.catch_up()

    assert replica.book.spending.of("default", "2026-11-29") == Spent(13.0, 205, 7)
    assert replica.book.spending.of("default", "2026-12-27") == Spent(1.5, 0, 0)  # b's, which runs


async def test_a_broker_serves_although_a_checkpoint_of_all_its_tenants_is_too_large() -> None:
    log = MemoryLog(1)
    gone = {requests_of(f"t{number:05d}-{'x' * 24}").name: 0 for number in range(17_230)}
    before = Checkpoint(epoch=1, ledger={0: 0}, inputs={f"{name}:0": 12345 for name in gone})
    await log.append(STATE, [checkpoint_record(before, iso(0))])
    tenants = NamedTenants(f"n{number:05d}-{'x' * 24}" for number in range(40))

    async with system(Hand(log, runs=True), tenants=tenants) as qjb:
        await qjb.submit("j1")
        await qjb.ends("j1")
        await until(lambda: qjb.snapshots().keys() == {"default/j1"})

    assert {entry.epoch for entry in ledger(log)[JobKey("default", "j1")]} == {2}
