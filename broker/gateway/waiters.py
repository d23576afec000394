"""Waiting for news of one thing: the tail wakes whoever waits under its key."""

import asyncio
import contextlib
from collections.abc import Callable, Hashable
from typing import TypeVar

T = TypeVar("T")


class Waiters:
    """Futures by key. Nobody who waits costs more than a future, or outlives its deadline."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, set[asyncio.Future[None]]] = {}
        self._closed = False

    def wake(self, key: Hashable) -> None:
        """There is news of *key*."""
        for future in self._waiting.pop(key, ()):
            if not future.done():
                future.set_result(None)

    def close(self) -> None:
        """Wake everybody; from now on nobody waits."""
        self._closed = True
        for key in list(self._waiting):
            self.wake(key)

    async def until(self, key: Hashable, look: Callable[[], T | None], seconds: float) -> T | None:
        """What *look* finds, now or after news of *key*; None if nothing within *seconds*."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (found := look()) is None and not self._closed and loop.time() < deadline:
            await self._news(key, deadline)
        return found

    async def _news(self, key: Hashable, deadline: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(future)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await future
        finally:
            self._forget(key, future)

    def _forget(self, key: Hashable, future: "asyncio.Future[None]") -> None:
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.discard(future)
            if not waiting:
                del self._waiting[key]
