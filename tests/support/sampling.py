"""What something comes to at most while a block runs: memory, or the time that a loop stood still."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

Look = Callable[[], float]


@asynccontextmanager
async def sampled(look: Look, every: float = 0.01) -> AsyncIterator[list[float]]:
    """What *look* finds, before the block, each so many seconds in it, and after it."""
    found = [look()]

    async def go_on() -> None:
        while True:
            await asyncio.sleep(every)
            found.append(look())

    task = asyncio.create_task(go_on())
    try:
        yield found
        found.append(look())
    finally:
        task.cancel()


@asynccontextmanager
async def gaps() -> AsyncIterator[list[float]]:
    """How long the event loop was away each time, in seconds."""
    last = time.perf_counter()

    def gap() -> float:
        nonlocal last
        before, last = last, time.perf_counter()
        return last - before

    async with sampled(gap, every=0.001) as found:
        yield found
