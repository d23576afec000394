"""A broker and a worker on one log: a dispatch travels beside its event, which may get lost."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import pytest

from broker.telemetry import times
from broker.transports.blobs import open_blobs
from broker.transports.log import Position
from broker.transports.memory import LoseSilently, MemoryLog, Store
from broker.transports.topics import EVENTS, INBOX, REPORTS, REQUESTS, STATE
from broker.worker.host import Worker
from broker.worker.pools import Pool
from executors.scripted import RETURNS, Publish, Return, Script, ScriptedExecutor, Wait, publishes
from schemas.cloudevents import request_record
from schemas.requests import SubmitJob
from tests.support.broker import (
    ALONE,
    Side,
    a_broker,
    check_histories,
    running,
    stored,
    until,
)

PATIENT = replace(ALONE, lease=4.0)  # a worker beats once a second


@asynccontextmanager
async def one_of_each(executor: ScriptedExecutor, slots: int = 2) -> AsyncIterator[Side]:
    """A broker and a worker that have found each other."""
    log, blobs = MemoryLog(), open_blobs("memory:///")
    worker = Worker(log, blobs, [Pool("p", executor, slots)], "w1")
    async with running(a_broker(log, blobs, PATIENT), worker):
        side = Side(log, blobs)
        await side.submit("first")
        await side.ends("first")
        yield side
        check_histories(log, ended=False)


OURS = {"broker", "executors", "schemas"}
RUN = ["queued", "dispatched", "started", "interim", "interim", "completed"]


class LoseLate(LoseSilently):
    """The next append is lost, and the broker hears of that when the worker has long begun."""

    def __init__(self) -> None:
        super().__init__(EVENTS, times=1)

    async def append(self, store: Store) -> list[Position]:
        await asyncio.sleep(0.15)
        return await super().append(store)


@pytest.mark.parametrize("every", [0.0, 0.05, 0.2])
async def test_a_run_whose_dispatch_was_lost_is_begun_again_and_told_of_whole(
    every: float,
) -> None:
    executor = ScriptedExecutor(jobs={"j1": publishes(2, every)})
    async with one_of_each(executor) as qjb:
        qjb.log.start(LoseLate())
        await qjb.submit("j1")
        events = await qjb.ends("j1")

    assert [event.kind for event in events] == RUN
    assert len([task for task in executor.begun if task.job_id == "j1"]) == 2


async def test_a_run_whose_dispatch_was_lost_does_not_keep_its_slot() -> None:
    lost, again = Script((Wait(),)), Script((Publish(1), Return("done")))
    runs = iter((lost, again))
    executor = ScriptedExecutor(jobs={"j1": lambda _: next(runs)})
    async with one_of_each(executor, slots=1) as qjb:
        qjb.log.start(LoseLate())
        await qjb.submit("j1")
        events = await qjb.ends("j1")
        await until(lambda: not executor.running)

    assert [event.kind for event in events][-2:] == ["interim", "completed"]
    assert [event.kind for event in events].count("started") == 1


async def test_a_cancel_reaches_the_run_that_counts() -> None:
    executor = ScriptedExecutor(jobs={"j1": Script((Publish(1), Wait()))})
    async with one_of_each(executor) as qjb:
        qjb.log.start(LoseLate())
        await qjb.submit("j1")
        await qjb.reaches("j1", "interim")
        await qjb.cancel("j1")
        events = await qjb.ends("j1")
        await until(lambda: not executor.running)

    assert [event.kind for event in events] == [
        *("queued", "dispatched", "started", "interim", "cancel_requested", "cancelled")
    ]


async def test_many_jobs_whose_dispatches_are_lost_again_and_again_are_told_of_whole() -> None:
    executor = ScriptedExecutor(publishes(2, 0.01), jobs={"first": RETURNS})
    async with one_of_each(executor, slots=4) as qjb:
        names = [f"j{number}" for number in range(40)]
        for name in names:
            await qjb.submit(name)
            if name.endswith(("3", "6", "9")):
                qjb.log.start(LoseSilently(EVENTS, times=1))
            await asyncio.sleep(0.01)
        for name in names:
            assert [event.kind for event in await qjb.ends(name)] == RUN


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_the_trace_of_a_request_is_carried_to_the_last_event() -> None:
    executor = ScriptedExecutor(jobs={"j1": publishes(2)})
    async with one_of_each(executor) as qjb:
        request = SubmitJob("hello-world", job_id="j1")
        await qjb.log.append(REQUESTS, [request_record(request, times.now(), TRACE)])
        await qjb.ends("j1")
        await until(lambda: "default/j1" in qjb.snapshots())
        traces = {
            topic: [
                record.header("traceparent")
                for record in stored(qjb.log, topic)
                if record.header("ce_subject") == b"j1"
            ]
            for topic in (EVENTS, INBOX, REPORTS, STATE)
        }

    assert len(traces[EVENTS]) == len(RUN)
    for topic, found in traces.items():
        assert found, topic
        assert set(found) == {TRACE.encode()}, topic


@contextmanager
def cycles() -> Iterator[list[object]]:
    """What of ours the block leaves to the collector, in the list at its end."""
    found: list[object] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += [each for each in gc.garbage if type(each).__module__.partition(".")[0] in OURS]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def test_nothing_of_a_job_waits_for_a_search_for_cycles() -> None:
    """With thousands of jobs a second that would take a tenth of the time."""
    executor = ScriptedExecutor(jobs={f"j{number}": publishes(2, 0.0) for number in range(20)})
    async with one_of_each(executor) as qjb:
        with cycles() as found:
            for number in range(20):
                await qjb.submit(f"j{number}")
                await qjb.ends(f"j{number}")
        assert found == []
