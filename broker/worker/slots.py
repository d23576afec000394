"""The slots of a worker, and how far it may be given attempts ahead of them."""

import asyncio
from collections import deque

from broker.worker.attempts import Attempt
from executors.deadlines import Deadlines

AHEAD = 4  # attempts per slot that may wait here, so that the next short one begins at once;
STORE = 0.05  # s of work per slot that may wait, if that is more of them, but
MOST_AHEAD = 32  # no more than so many
BRIEF = 0.05  # s: attempts that take less on average are given ahead
LONG = 0.25  # s: while one runs for longer, nothing is given ahead
LONGEST_WAIT = 0.5  # s: who waits for longer is handed back, and may begin elsewhere
NEWEST = 0.2  # weight of the newest attempt in the average


class Slots:
    """So many attempts run at once; a few short ones wait for the next slot.

    The way from one attempt's end over the broker to the next one's beginning takes milliseconds,
    tens of them where the broker is busy. Where attempts take less than that, a worker with few in
    store would mostly wait.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count  # less than none while more run than there are
        self._deadlines = Deadlines()  # of those that wait
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._since: dict[Attempt, float] = {}  # who runs, and since when
        self._average: float | None = None  # s that an attempt takes; None while nobody knows

    @property
    def ahead(self) -> int:
        """How many attempts beyond the slots are welcome."""
        if self._average is None or self._average > BRIEF:
            return 0
        now = asyncio.get_running_loop().time()
        if any(now - since > LONG for since in self._since.values()):
            return 0
        return in_store(self._average) * self.count

    async def take(self, attempt: Attempt) -> bool:
        """Wait for a slot; False if none came soon, or if the attempt is to end."""
        loop = asyncio.get_running_loop()
        if self._free > 0:
            self._free -= 1
        elif not await self._turn(attempt, loop):
            return False
        self._since[attempt] = loop.time()
        return True

    def give(self, attempt: Attempt) -> None:
        """The attempt has ended: its slot goes to who has waited longest."""
        took = asyncio.get_running_loop().time() - self._since.pop(attempt)
        known = took if self._average is None else self._average
        self._average = known + NEWEST * (took - known)
        self._free += 1
        self._pass_on()

    def resize(self, count: int) -> None:
        """There are *count* from now on; those that run in one that is gone go on to their end."""
        self._free += count - self.count
        self.count = count
        self._pass_on()

    def _pass_on(self) -> None:
        while self._free > 0 and self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(True)
                self._free -= 1

    async def _turn(self, attempt: Attempt, loop: asyncio.AbstractEventLoop) -> bool:
        waiting: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(waiting)

        def give_up() -> None:
            if not waiting.done():
                waiting.set_result(False)

        self._deadlines.at(loop.time() + LONGEST_WAIT, give_up)
        forget = attempt.stop.when_asked(give_up)
        try:
            return await waiting
        finally:
            self._deadlines.forget(give_up)
            forget()


def in_store(seconds: float) -> int:
    """How many attempts of so many seconds may wait for one slot."""
    return max(AHEAD, min(MOST_AHEAD, int(STORE / max(seconds, 1e-6))))
