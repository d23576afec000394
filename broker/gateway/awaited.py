"""What was asked for here, and is not seen on the ledger yet."""

import asyncio
from collections.abc import Callable

from schemas.values import JobKey

FORGET = 60.0  # s after which what was asked for, and nobody took up, is not waited for any more


class Awaited:
    """Names. *forgotten* hears of each that was last asked for *seconds* ago and has not come."""

    def __init__(
        self, seconds: float = FORGET, forgotten: Callable[[JobKey], None] | None = None
    ) -> None:
        self._seconds, self._forgotten = seconds, forgotten
        self._names: dict[JobKey, asyncio.TimerHandle | None] = {}  # with what forgets each

    def __contains__(self, key: JobKey) -> bool:
        return key in self._names

    def add(self, key: JobKey) -> None:
        """What *key* names is being asked for."""
        self.discard(key)
        self._names[key] = None

    def forget_later(self, key: JobKey) -> None:
        """It was asked for: that counts anew, however often it was before."""
        self.discard(key)
        loop = asyncio.get_running_loop()
        self._names[key] = loop.call_later(self._seconds, self._forget, key)

    def discard(self, key: JobKey) -> None:
        """It has come."""
        if (timer := self._names.pop(key, None)) is not None:
            timer.cancel()

    def _forget(self, key: JobKey) -> None:
        del self._names[key]
        if self._forgotten is not None:
            self._forgotten(key)
