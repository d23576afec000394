"""Those who wait for a child, in the order in which they came."""

import asyncio
from collections import deque

from executors.base import Stop


class Waiting:
    """Wakes them one by one."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self, stop: Stop, at_most: float | None = None) -> None:
        """Until it is one's turn, *stop* is asked, or *at_most* seconds have passed."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiting.append(waiter)
        timer = None if at_most is None else loop.call_later(at_most, _wake, waiter)
        forget = stop.when_asked(lambda: _wake(waiter))
        try:
            await waiter
        finally:
            forget()
            if timer is not None:
                timer.cancel()
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif stop.asked:
                self.wake_one()  # it was ours, and we do not need it

    def wake_one(self) -> None:
        """It is the turn of who has waited longest."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def wake_all(self) -> None:
        """Nobody need wait any more."""
        while self._waiting:
            self.wake_one()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
