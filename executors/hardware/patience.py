"""For how long an attempt stays with a device that does not answer."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from executors.hardware.process import DeviceError
from executors.hardware.said import EndedError
from schemas.values import Reason

AWAY_FOR = 60.0  # s

T = TypeVar("T")


class DownError(Exception):
    """The device did not answer for too long, and the attempt is over. *reason*: as what it ends."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class Patience:
    """What one call has for its device: so many *seconds*, None for as many as there are."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._since: float | None = None  # when nothing came of asking, for the first time

    def answered(self) -> None:
        """The call has got further."""
        self._since = None

    async def during(self, wait: Awaitable[T]) -> T:
        """What comes of *wait*. A device that fails after it was there for long begins anew."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            return await wait
        finally:
            if self._seconds is not None and loop.time() - began >= self._seconds:
                self._since = None

    def failed(self, error: Exception) -> None:
        """Nothing came of asking. Raises `DownError` if that has gone on for too long."""
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
        if self._seconds is None or now - self._since < self._seconds:
            return
        is_lost = isinstance(error, (EndedError, DeviceError))
        reason = Reason.DEVICE_LOST if is_lost else Reason.DEVICE_AWAY
        text = f"the device did not answer for {self._seconds:g} s: {error}"
        raise DownError(reason, text) from error
