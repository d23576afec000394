"""Deadlines of which nearly none is reached: one timer for all of them."""

import asyncio
import math
from collections.abc import Callable


class Deadlines:
    """Calls back at times of the loop, unless that is forgotten before.

    The loop's own timers cost more than all else about an attempt of a millisecond that sets and
    cancels five. Here a deadline is an entry in a dict, and one timer wakes for the earliest; it
    looks through all of them, so this is for as many as there are slots.
    """

    def __init__(self) -> None:
        self._due: dict[Callable[[], None], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = math.inf  # when the timer does; not later than the earliest is due

    def at(self, when: float, then: Callable[[], None]) -> None:
        """Call *then* at *when*, and no more at the time that was said before."""
        self._due[then] = when
        if when < self._wakes:
            self._wake_at(when)

    def forget(self, then: Callable[[], None]) -> None:
        """Do not call *then*; nothing, if it was called or never asked for."""
        self._due.pop(then, None)

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes = when
        self._timer = asyncio.get_running_loop().call_at(when, self._wake)

    def _wake(self) -> None:
        self._timer, self._wakes = None, math.inf
        now = asyncio.get_running_loop().time()
        try:
            for then in [then for then, when in self._due.items() if when <= now]:
                if self._due.get(then, math.inf) <= now:  # none before it has moved or forgotten it
                    del self._due[then]
                    then()
        finally:  # also for those behind one that failed
            if self._due and (earliest := min(self._due.values())) < self._wakes:
                self._wake_at(earliest)
