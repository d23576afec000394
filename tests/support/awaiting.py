"""Waiting for the thing itself, where nothing tells of it."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

Found = TypeVar("Found")


async def eventually(look: Callable[[], Found | Awaitable[Found]], within: float = 20.0) -> Found:
    """What *look* finds, as soon as that is true; raises `TimeoutError` after *within* seconds."""
    async with asyncio.timeout(within):
        while True:
            began = time.perf_counter()
            found: Any = look()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found  # type: ignore[no-any-return]
            # What costs much is looked at less often.
            await asyncio.sleep(max(0.002, 2 * (time.perf_counter() - began)))


def eventually_here(look: Callable[[], Found], within: float = 30.0) -> Found:
    """The same where there is no event loop."""
    deadline = time.monotonic() + within
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)
    return found


async def stays(so: Callable[[], object | Awaitable[object]], seconds: float) -> None:
    """Look for *seconds* whether it is *so*, at each look."""

    async def look() -> object:
        found: object = so()
        return await found if inspect.isawaitable(found) else found

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert await look()
        await asyncio.sleep(seconds / 10)
    assert await look()


async def steps(count: int = 1) -> None:
    """Let everybody else on the event loop take so many steps."""
    for _ in range(count):
        await asyncio.sleep(0)


async def another_moment() -> None:
    """Until a time that is written now is later, in milliseconds, than any written before."""
    before = time.time_ns() // 1_000_000
    await eventually(lambda: time.time_ns() // 1_000_000 > before)


async def settled(look: Callable[[], Found], still: float = 0.4, within: float = 20.0) -> Found:
    """What *look* finds once that has stayed the same for *still* seconds."""
    async with asyncio.timeout(within):
        found, since = look(), time.monotonic()
        while time.monotonic() < since + still:
            await asyncio.sleep(still / 10)
            if (now := look()) != found:
                found, since = now, time.monotonic()
    return found
