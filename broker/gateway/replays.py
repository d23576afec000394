"""Who was told everything of a job that had ended, again and again.

With websocket-client 1.9 and later, a client takes the end of a stream for an error, and comes back
at once for ever. One that is told nothing some five times gives up, and asks for the job instead.
"""

import asyncio
from collections.abc import Hashable

ENOUGH = 3  # times
AT_ONCE = 4.0  # s between two that count as one after the other
CALM = 20.0  # s for which one has to stay away, to be told everything again
KNOWN = 10_000  # that are remembered


class Replays:
    """Counts them, by who asked for what."""

    def __init__(self) -> None:
        self._told: dict[Hashable, tuple[int, float]] = {}  # how often, and when the last time
        self._loop = asyncio.get_running_loop()

    def enough(self, who: Hashable) -> bool:
        """Whether *who*, who comes again, has been told often enough for now."""
        count, last = self._told.get(who, (0, 0.0))
        if count < ENOUGH or self._loop.time() - last > CALM:
            return False
        self._note(who, count)
        return True

    def note(self, who: Hashable) -> None:
        """*who* was told everything."""
        count, last = self._told.get(who, (0, 0.0))
        self._note(who, count + 1 if self._loop.time() - last <= AT_ONCE else 1)

    def _note(self, who: Hashable, count: int) -> None:
        self._told.pop(who, None)
        self._told[who] = count, self._loop.time()
        if len(self._told) > KNOWN:
            del self._told[next(iter(self._told))]
