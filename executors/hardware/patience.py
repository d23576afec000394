"""How often, and for how long, a device that does not answer is asked again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

from executors.hardware.process import DeviceError
from executors.hardware.said import AwayError, EndedError
from schemas.values import Reason

AWAY_FOR = 60.0  # s for which an attempt stays with one, if its job is tried again
AGAIN_FIRST, AGAIN_MOST = 0.2, 30.0  # s until it is asked again

NOT_BEGUN = (AwayError, DeviceError)  # by what a submit raises when the vendor has not got it

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


async def until_there(
    what: Callable[[], Awaitable[T]],
    *more: type[Exception],
    within: float | None = None,
    patience: Patience | None = None,
) -> T:
    """Do *what* until the vendor is not away any more; nothing has begun while it is.

    *within* seconds; after them the last error is raised. Raises `DownError` once *patience* is over.
    """
    errors: tuple[type[Exception], ...] = (*NOT_BEGUN, *more)
    last: Exception = AwayError("it did not answer in time")
    try:
        async with asyncio.timeout(within):
            async for attempt in stamina.retry_context(
                errors,
                attempts=None,
                timeout=None,
                wait_initial=AGAIN_FIRST,
                wait_max=AGAIN_MOST,
                wait_jitter=AGAIN_FIRST,
            ):
                with attempt:
                    try:
                        return await what()
                    except errors as error:
                        last = error
                        if patience is not None:
                            patience.failed(error)
                        raise
    except TimeoutError:
        raise last from None
    raise AssertionError("it is tried for ever")
