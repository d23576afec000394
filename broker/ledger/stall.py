"""Notices that the loop stood still: a broker that was asleep, or at work for too long.

Who was asleep does not know for how long, nor what it missed. Who was at work, however long, has
missed nothing but the ticks that keep others from claiming, so that it looks whether somebody has.
"""

import asyncio
import time
from collections.abc import Callable

from broker.ledger.claim import AsleepError

LOOK = 0.1  # s

Clock = Callable[[], float]


class Stall:
    """Steps down after *limit* seconds in which this process neither ran its loop nor worked.

    *clock* tells seconds, *work* the seconds for which this process has used a processor.
    """

    def __init__(
        self, limit: float, clock: Clock = time.monotonic, work: Clock = time.process_time
    ) -> None:
        self._limit = limit
        self._clock, self._work = clock, work
        self._in_doubt = False
        self._look()

    async def run(self) -> None:
        """Look, until cancelled; raises `AsleepError`."""
        while True:
            self.check()
            self._look()
            await asyncio.sleep(LOOK)

    def check(self) -> None:
        """Raise `AsleepError` if the process has only just woken up. Call before an append."""
        stood = self._clock() - self._seen
        if stood <= self._limit:
            return
        asleep = stood - (self._work() - self._worked)
        if asleep > self._limit:
            raise AsleepError(f"the process was asleep for {asleep:.1f} s")
        self._in_doubt = True

    def take_doubt(self) -> bool:
        """Whether the loop stood still for so long that another broker may be active; asks once."""
        doubt, self._in_doubt = self._in_doubt, False
        return doubt

    def _look(self) -> None:
        self._seen, self._worked = self._clock(), self._work()
