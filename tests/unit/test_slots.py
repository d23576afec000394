"""Slots of which some go while attempts run in them."""

import asyncio

from broker.worker.attempts import Attempt
from broker.worker.slots import Slots
from executors.deadlines import Deadlines
from schemas.inbox import Dispatch
from tests.support.awaiting import eventually


def attempt(job_id: str) -> Attempt:
    dispatch = Dispatch(
        tenant="default",
        job_id=job_id,
        attempt=1,
        epoch=1,
        instance="i",
        program_id="hello-world",
        program_version="1",
        backend="scripted",
        time_limit=60.0,
    )
    return Attempt(dispatch, 1.0, Deadlines())


async def test_who_runs_in_a_slot_that_is_gone_goes_on_and_nobody_comes_after() -> None:
    slots = Slots(2)
    first, second, third = (attempt(name) for name in "abc")
    assert await slots.take(first)
    assert await slots.take(second)
    slots.resize(1)
    slots.give(first)
    assert not await slots.take(third)  # who would have been the second at once
    slots.give(second)

    assert await slots.take(third)
    assert slots.count == 1


async def test_who_waits_begins_once_there_are_more_slots() -> None:
    slots = Slots(0)
    first = attempt("a")
    waiting = asyncio.create_task(slots.take(first))
    await eventually(lambda: slots._waiting)
    slots.resize(1)

    assert await waiting
