"""What was asked for and has not come."""

import asyncio

from broker.gateway.awaited import Awaited
from schemas.values import JobKey

ONE, OTHER = JobKey("t", "one"), JobKey("t", "other")


async def test_what_is_asked_for_again_is_forgotten_as_late_as_what_is_new() -> None:
    forgotten: asyncio.Queue[JobKey] = asyncio.Queue()
    awaited = Awaited(0.01, forgotten.put_nowait)
    awaited.forget_later(ONE)
    awaited.forget_later(OTHER)
    awaited.add(ONE)
    awaited.forget_later(ONE)

    assert [await forgotten.get(), await forgotten.get()] == [OTHER, ONE]
    assert ONE not in awaited
    assert forgotten.empty()


async def test_what_is_asked_for_again_is_not_forgotten_while_it_is() -> None:
    forgotten: asyncio.Queue[JobKey] = asyncio.Queue()
    awaited = Awaited(0.01, forgotten.put_nowait)
    awaited.forget_later(ONE)
    awaited.add(ONE)
    awaited.forget_later(OTHER)

    assert await forgotten.get() == OTHER
    assert ONE in awaited


async def test_of_what_has_come_nobody_hears_that_it_is_forgotten() -> None:
    forgotten: asyncio.Queue[JobKey] = asyncio.Queue()
    awaited = Awaited(0.01, forgotten.put_nowait)
    awaited.forget_later(ONE)
    awaited.discard(ONE)
    awaited.forget_later(OTHER)

    assert await forgotten.get() == OTHER
    assert ONE not in awaited
