"""What a worker does with the facts of an attempt: nothing goes to a vendor before the ledger has it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import msgspec

from broker.transports.blobs import open_blobs
from executors.base import Stop, Task
from executors.scripted import scripted_backend
from schemas.calls import Call
from schemas.reports import (
    BEGAN,
    Accepted,
    Body,
    Calibrated,
    Intended,
    Metered,
    Parked,
    Returned,
    Stopped,
)
from schemas.workers import BackendAnnounced
from tests.support.worker import Bench, until, working


class Device:
    """Says *bodies*, one after the other; `done` are those after which it was asked for more."""

    def __init__(self, *bodies: Body) -> None:
        self.bodies = bodies
        self.done: list[Body] = []
        self.tasks: list[Task] = []
        self.closed = asyncio.Event()

    async def start(self) -> Sequence[BackendAnnounced]:
        return [scripted_backend(simulator=False)]

    async def run(self, task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
        self.tasks.append(task)
        try:
            for body in self.bodies:
                yield body
                self.done.append(body)
            yield Stopped(stop.reason) if stop.reason else Returned(msgspec.Raw(b"1"))
        finally:
            self.closed.set()

    async def close(self) -> None:
        pass


async def said(bench: Bench, kind: str, times: int = 1) -> None:
    await until(lambda: bench.kinds().count(kind) >= times)


async def test_a_call_is_submitted_once_its_intent_is_on_the_ledger() -> None:
    device = Device(BEGAN, Intended("t1", 1), Accepted("t1", "v1"))
    async with working(device) as bench:
        await bench.tell(bench.dispatch())
        await said(bench, "intended")
        assert device.done == [BEGAN]

        await bench.recorded(1)  # of another report
        await bench.recorded(2)
        await said(bench, "accepted")
        assert device.done == [BEGAN, Intended("t1", 1)]

        await bench.recorded(3)
        await bench.ended()
        assert device.done[-1] == Accepted("t1", "v1")


async def test_an_intent_that_the_broker_does_not_answer_is_told_again_as_the_same_report() -> None:
    device = Device(BEGAN, Intended("t1", 1))
    async with working(device, again=0.02) as bench:
        await bench.tell(bench.dispatch())
        await said(bench, "intended", times=3)
        told = [report.number for report in bench.reports() if report.number == 2]
        assert len(told) >= 3

        await bench.recorded(2)
        assert (await bench.ended())[-1].number == 3


async def test_an_attempt_that_is_cancelled_before_its_intent_is_on_the_ledger_submits_nothing() -> (
    None
):
    device = Device(BEGAN, Intended("t1", 1))
    async with working(device) as bench:
        await bench.tell(bench.dispatch())
        await said(bench, "intended")
        await bench.cancel()
        reports = await bench.ended()

    assert reports[-1].body == Stopped("user_request")
    assert device.done == [BEGAN]
    assert device.closed.is_set()


async def test_an_attempt_that_is_to_end_tells_of_no_intent_any_more() -> None:
    class Slow(Device):
        """Is told to end before it has come to its call."""

        async def run(self, task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
            yield BEGAN
            await stop.wait()
            yield Intended("t1", 1)
            raise AssertionError("it was asked for more")

    async with working(Slow()) as bench:
        await bench.tell(bench.dispatch())
        await said(bench, "began")
        await bench.cancel()
        await bench.ended()

    assert bench.kinds() == ["began", "stopped"]


async def test_the_id_of_an_attempt_that_was_given_up_is_told_all_the_same() -> None:
    class Slow(Device):
        """Is told to end while the vendor takes its call."""

        async def run(self, task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
            yield BEGAN
            await stop.wait()
            yield Accepted("t1", "v1")
            yield Metered("t1", 0.0, final=True)
            yield Stopped(stop.reason or "")

    async with working(Slow()) as bench:
        await bench.tell(bench.dispatch())
        await said(bench, "began")
        await bench.cancel(reason="worker_lost")
        await said(bench, "metered")
        await until(lambda: not bench.heartbeats()[-1].running)

    assert bench.kinds() == ["began", "accepted", "metered"]


async def test_what_earlier_attempts_asked_for_comes_with_the_task() -> None:
    calls = (Call(tag="t1", number=1, attempt=1, vendor_job_id="v1"),)
    device = Device()
    async with working(device) as bench:
        await bench.tell(bench.dispatch(calls=calls, calls_left_out=2))
        await bench.ended()

    assert (device.tasks[0].calls, device.tasks[0].calls_left_out) == (calls, 2)


async def test_the_properties_of_a_device_go_to_the_blob_store_however_small() -> None:
    blobs = open_blobs("memory:///")
    device = Device(BEGAN, Calibrated("monday", msgspec.Raw(b'{"t1": 80}')))
    async with working(device, blobs=blobs) as bench:
        await bench.tell(bench.dispatch())
        body = (await bench.ended())[1].body

    assert isinstance(body, Calibrated)
    assert not body.properties
    assert body.properties_ref is not None
    assert await blobs.get(body.properties_ref) == b'{"t1": 80}'


async def test_an_attempt_that_can_not_know_ends_as_parked() -> None:
    device = Device(BEGAN)

    async def run(task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
        yield BEGAN
        yield Parked("t1", "the vendor does not say")

    device.run = run  # type: ignore[method-assign]
    async with working(device) as bench:
        await bench.tell(bench.dispatch())
        reports = await bench.ended()

    assert reports[-1].body == Parked("t1", "the vendor does not say")
