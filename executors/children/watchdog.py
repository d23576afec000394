"""Looks after the memory and the time that an attempt takes: a program that computes says nothing."""

import asyncio
from typing import Protocol

from executors.children.handle import Child
from executors.deadlines import Deadlines

FIRST_LOOK = 0.05  # s after which it is seen for the first time how much memory an attempt takes
LOOK_AGAIN = (0.02, 0.25)  # s; sooner if it may soon be too much
FILLS = 16 * 1024**3  # bytes a second that a program may take; of huge pages, 10 by a thread


class Watched(Protocol):
    """Who ends the attempt that is looked after."""

    def on_limit(self) -> None:
        """It is not as far as it had to be by now."""

    def on_memory(self, held: int) -> None:
        """It holds so many bytes, more than it may."""


class Watchdog:
    """Tells *watched* if the attempt in *child* holds more than *memory* bytes, or takes too long:
    longer than *seconds* from now, as long as no other limit is set. Of one of these, and once.
    """

    def __init__(
        self, child: Child, memory: int, deadlines: Deadlines, seconds: float, watched: Watched
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._child, self._memory, self._deadlines = child, memory, deadlines
        self._watched: Watched | None = watched
        self.held = 0  # bytes, when somebody looked
        now = self._loop.time()
        self._limit = now + seconds  # loop time
        self._look_at(now + FIRST_LOOK)

    def set_limit(self, seconds: float) -> None:
        """It may take so long from now on."""
        self._limit = self._loop.time() + seconds
        if self._limit < self._next_look:
            self._look_at(self._limit)

    def end(self) -> None:
        """Look no more, and lead back to nobody."""
        self._watched = None
        self._deadlines.forget(self._look)

    def _look(self) -> None:
        if self._watched is None:
            return
        now = self._loop.time()
        if now >= self._limit:
            self._watched.on_limit()
            return
        self.held = self._child.memory
        left = self._memory - self.held
        if left < 0:
            self._watched.on_memory(self.held)
            return
        soonest, latest = LOOK_AGAIN
        self._look_at(now + min(max(left / FILLS, soonest), latest))

    def _look_at(self, when: float) -> None:
        self._next_look = min(when, self._limit)
        self._deadlines.at(self._next_look, self._look)
