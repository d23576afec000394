"""Waiting for the thing itself, where nothing tells of it."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

Found = TypeVar("Found")


async def eventually(
    look: Callable[[], Found | Awaitable[Found]], within: float = 30.0, every: float = 0.01
) -> Found:
    """What *look* finds, once that is true; raises `TimeoutError` after *within* seconds."""
    async with asyncio.timeout(within):
        while True:
            found: Any = look()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found  # type: ignore[no-any-return]
            await asyncio.sleep(every)
