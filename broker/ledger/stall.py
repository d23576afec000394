"""Notices that the loop stood still, so that a broker which was asleep does not write on."""

import asyncio

from broker.ledger.claim import SteppedDownError

LOOK = 0.1  # s


class Stall:
    """Steps down after *limit* seconds in which nothing ran here."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._seen = self._loop.time()

    async def run(self) -> None:
        """Look, until cancelled; raises `SteppedDownError`."""
        while True:
            self.check()
            self._seen = self._loop.time()
            await asyncio.sleep(LOOK)

    def check(self) -> None:
        """Raise `SteppedDownError` if the loop has only just woken up. Call before an append."""
        if self._loop.time() - self._seen > self._limit:
            raise SteppedDownError("the loop stood still")
