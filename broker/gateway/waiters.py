"""Waiting for news of one thing: the tail wakes whoever waits under its key."""

import asyncio
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
            _wake(future)

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
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(key, set()).add(future)
        late = loop.call_at(deadline, _wake, future)
        try:
            await future
        finally:
            late.cancel()
            self._forget(key, future)

    def _forget(self, key: Hashable, future: "asyncio.Future[None]") -> None:
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.discard(future)
            if not waiting:
                del self._waiting[key]


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
