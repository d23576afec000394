"""The time of a log, by which its records are old: no clock that is wrong for a while moves it far."""

import time
from collections.abc import Callable

from broker.transports.topics import DAY

LEAP = 3600.0  # s by which the wall clock may be ahead and is believed all the same
BELIEVED_AFTER = DAY  # s for which it has to run on from where it leapt to, if that was further


class LogTime:
    """Goes on with a clock that nobody sets, and follows the wall clock where that is near.

    So a wall clock that is days ahead for a while makes nothing old, one that is behind keeps
    nothing for ever, and a log that runs now and then counts the time for which it runs. *known*:
    what time it was when somebody last looked, in seconds since 1970.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        known: float | None = None,
        believed_after: float = BELIEVED_AFTER,
    ) -> None:
        self._believed_after = believed_after
        self._wall, self._steady = wall, steady
        self._known = wall() if known is None else known, steady()
        self._leap: tuple[float, float] | None = None  # wall less steady then, and since when

    def now(self) -> float:
        """What was stored so long before this as it is kept, is old. In any thread."""
        return self._at(self._wall())

    def _at(self, wall: float) -> float:
        at = self._steady()
        then, since = self._known
        now = then + at - since
        ahead = wall - now
        if ahead <= LEAP:
            self._leap = None
        elif not self._believes(wall - at, at):
            return now
        if ahead > 0:
            self._known = wall, at
        return max(wall, now)

    def stamp(self) -> float:
        """When what is stored now is stored: what the wall clock says, but nothing that is past."""
        wall = self._wall()
        return max(wall, self._at(wall))

    def _believes(self, leapt_to: float, at: float) -> bool:
        """Whether the wall clock has stayed where it leapt to for long."""
        if self._leap is None or abs(self._leap[0] - leapt_to) > LEAP:
            self._leap = leapt_to, at
        return at - self._leap[1] >= self._believed_after
