"""Jobs on a device, from the request to what was paid, by the device's own books."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from broker.ledger.tenants import NamedTenants
from broker.telemetry.times import now, seconds_of
from broker.transports.blobs import open_blobs
from broker.transports.memory import MemoryLog
from broker.worker.host import Worker
from broker.worker.options import Options
from broker.worker.pools import Pool
from executors.hardware.executor import HardwareExecutor
from schemas.backends import BackendMode, BackendOrder
from schemas.requests import AskedRetries
from schemas.topics import STATUS
from schemas.workers import BackendAnnounced
from tests.support.awaiting import eventually
from tests.support.broker import ALONE, Side, a_broker, check_histories, running, stored
from tests.support.devices import NAME, Books, Children, hardware

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENT = replace(ALONE, lease=2.5)  # a worker beats once a second
CALL = ["call_intended", "call_accepted", "call_metered"]


@asynccontextmanager
async def one_of_each(executor: HardwareExecutor, **options: Any) -> AsyncIterator[Side]:
    log, blobs = MemoryLog(), open_blobs("memory:///")
    worker = Worker(log, blobs, [Pool(NAME, executor, 1)], "w1", options=Options(**options))
    async with running(a_broker(log, blobs, PATIENT), worker):
        yield Side(log, blobs)
        check_histories(log, ended=False)


def calls_of(side: Side, job_id: str) -> list[str]:
    return [kind for kind in side.kinds(job_id) if kind.startswith("call_")]


def asks(times: int) -> dict[str, Any]:
    """A job that makes so many calls."""
    return {"backend": NAME, "params": msgspec.Raw(b'{"iterations": %d}' % times)}


async def test_a_job_on_a_device_says_what_it_has_asked_for_and_what_that_cost(
    books: Books, children: Children
) -> None:
    executor = hardware(books.spec(queue=0.05, lose_every=1), children)
    async with one_of_each(executor) as qjb:
        await qjb.submit("j1", **asks(2))
        events = await qjb.ends("j1", within=40)

    assert events[-1].kind == "completed"
    assert calls_of(qjb, "j1") == CALL * 2
    assert "calibrated" in qjb.kinds("j1")
    assert len(books.tags()) == 2


async def test_a_cancel_of_a_job_on_a_device_reaches_its_vendor(
    books: Books, children: Children
) -> None:
    async with one_of_each(hardware(books.spec(queue=600.0), children)) as qjb:
        await qjb.submit("j1", **asks(1))
        await qjb.reaches("j1", "call_accepted", within=40)
        await qjb.cancel("j1")
        events = await qjb.ends("j1", within=40)

    assert events[-1].kind == "cancelled"
    assert calls_of(qjb, "j1") == CALL
    assert books.cancelled() == [1]


async def test_a_cancel_reaches_a_vendor_that_is_away_for_longer_than_executors_get(
    books: Books, children: Children
) -> None:
    async with one_of_each(hardware(books.spec(queue=600.0), children), patience=0.0) as qjb:
        await qjb.submit("j1", **asks(1))
        await qjb.reaches("j1", "call_accepted", within=40)
        books.maintenance.touch()
        await qjb.cancel("j1")
        await qjb.reaches("j1", "cancel_requested", within=40)
        books.maintenance.unlink()
        events = await qjb.ends("j1", within=40)

    assert events[-1].kind == "cancelled"
    assert calls_of(qjb, "j1") == CALL
    assert books.cancelled() == [1]


async def test_the_end_of_a_jobs_time_reaches_its_vendor_however_soon_it_is_late(
    books: Books, children: Children
) -> None:
    async with one_of_each(hardware(books.spec(queue=600.0), children), late=0.0) as qjb:
        await qjb.submit("j1", **asks(1), max_execution_time=5.0)
        await qjb.reaches("j1", "call_accepted", within=40)
        events = await qjb.ends("j1", within=40)

    assert events[-1].reason == "ran_too_long"
    assert books.cancelled() == [1]


def said_of_device(log: MemoryLog) -> list[BackendAnnounced]:
    said = (STATUS.read(record) for record in stored(log, STATUS.name))
    return [each for each in said if isinstance(each, BackendAnnounced)]


async def test_a_device_is_calibrated_as_an_operator_asks_and_jobs_wait_meanwhile(
    books: Books, children: Children
) -> None:
    log, blobs, tenants = MemoryLog(), open_blobs("memory:///"), NamedTenants(["default"])
    executor = hardware(books.spec(calibrates_for=0.5), children)
    worker = Worker(log, blobs, [Pool(NAME, executor, 1)], "w1")
    asked = now()
    tenants.orders[NAME] = BackendOrder(
        name=NAME, mode=BackendMode.ACTIVE, since=asked, calibrate=asked
    )
    async with running(a_broker(log, blobs, PATIENT, tenants), worker):
        side = Side(log, blobs)
        await eventually(
            lambda: any(each.is_calibrating for each in said_of_device(log)), within=40
        )
        await side.submit("j1", **asks(1))
        events = await side.ends("j1", within=40)

    told = said_of_device(log)
    begun = next(number for number, each in enumerate(told) if each.is_calibrating)
    ended = next(each for each in told[begun:] if not each.is_calibrating)
    assert told[begun].calibration != ended.calibration
    dispatched = next(seconds_of(e.time) for e in events if e.kind == "dispatched")
    assert seconds_of(asked) <= seconds_of(ended.calibrated) <= dispatched
    assert [e.calibration_id for e in events if e.kind == "calibrated"] == [ended.calibration]
    assert books.asked("calibrate") == 1


async def test_a_call_of_which_nobody_knows_parks_its_job(books: Books, children: Children) -> None:
    executor = hardware(books.spec(lose_every=1, finds=False), children)
    async with one_of_each(executor) as qjb:
        await qjb.submit("j1", **asks(1))
        await qjb.reaches("j1", "parked", within=40)

    assert calls_of(qjb, "j1") == ["call_intended"]
    assert len(books.tags()) == 1


async def test_a_job_whose_device_is_away_gives_its_slot_back_and_is_tried_again_later(
    books: Books, children: Children
) -> None:
    async with one_of_each(hardware(books.spec(), children, away_for=0.3)) as qjb:
        await qjb.submit("j0", **asks(1))
        await qjb.ends("j0", within=40)
        books.maintenance.touch()
        await qjb.submit("j1", **asks(1), retries=AskedRetries(device_down=10))
        await qjb.reaches("j1", "retried", within=40)
        books.maintenance.unlink()
        events = await qjb.ends("j1", within=40)

    assert events[-1].kind == "completed", events[-1]
    retried = next(event for event in events if event.kind == "retried")
    assert (retried.reason, retried.error_class, retried.retry) == ("device_away", "device_down", 1)
    dispatched = [event.time for event in events if event.kind == "dispatched"]
    assert dispatched[1] >= retried.next_attempt_at > retried.time
    assert len(books.tags()) == 2


@pytest.mark.parametrize("step", ["call_intended", "call_accepted", "call_metered"])
async def test_jobs_whose_worker_is_lost_are_taken_up_by_another_and_paid_once(
    books: Books, children: Children, step: str
) -> None:
    log, blobs = MemoryLog(), open_blobs("memory:///")

    def worker(name: str) -> Worker:
        executor = hardware(books.spec(queue=0.3, lose_every=2), children)
        return Worker(log, blobs, [Pool(NAME, executor, 1)], name)

    async with running(a_broker(log, blobs, PATIENT)):
        side = Side(log, blobs)
        first = asyncio.create_task(worker("w1").run())
        await side.submit("j1", **asks(2))
        await side.reaches("j1", step, within=40)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        async with running(worker("w2")):
            events = await side.ends("j1", within=40)
        check_histories(log)

    assert events[-1].kind == "completed", events[-1]
    assert len(books.tags()) == len(set(books.tags())) == 2


async def test_jobs_of_a_device_whose_process_is_killed_again_and_again_are_paid_once(
    books: Books, children: Children
) -> None:
    executor = hardware(books.spec(queue=0.1), children)
    async with one_of_each(executor) as qjb:
        for number, step in enumerate(CALL):
            job_id = f"j{number}"
            await qjb.submit(job_id, **asks(2))
            await qjb.reaches(job_id, step, within=40)
            if pid := executor._process.pid:
                os.kill(pid, signal.SIGKILL)
        for number in range(len(CALL)):
            events = await qjb.ends(f"j{number}", within=40)
            assert events[-1].kind == "completed", events[-1]

    assert len(books.tags()) == len(set(books.tags())) == 2 * len(CALL)
