"""What is tried again until it works: one way to wait between the tries, for all that do so."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina
import structlog
from stamina.instrumentation import set_on_retry_hooks

from broker.errors import LogUnavailableError, QjbError, UnavailableError

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # s between tries; each is twice as long as the one before
JITTER = 0.05  # s at most that a pause is longer, so that not all come back at once

T = TypeVar("T")

logger = structlog.get_logger()
set_on_retry_hooks([])  # what fails is told here, with the names that we have for it


def say_unavailable(error: QjbError, **about: object) -> None:
    """What is away: the log, or else the blob store."""
    what = "log" if isinstance(error, LogUnavailableError) else "blobs"
    logger.warning(f"{what}.unavailable", code=error.code, error=error.message, **about)


async def until_it_works(
    what: Callable[[], Awaitable[T]], say: Callable[[QjbError], None] = say_unavailable
) -> T:
    """Do *what* until the log or the blob store is there for it; all other errors are raised."""
    try:
        return await what()
    except (LogUnavailableError, UnavailableError) as error:
        first = error  # mostly there is none, and then what follows would take longer than *what*

    def is_away(error: Exception) -> bool:
        if away := isinstance(error, LogUnavailableError | UnavailableError):
            say(error)
        return away

    async for attempt in stamina.retry_context(
        is_away,
        attempts=None,
        timeout=None,
        wait_initial=FIRST_PAUSE,
        wait_max=LONGEST_PAUSE,
        wait_jitter=JITTER,
    ):
        with attempt:
            if attempt.num == 1:
                raise first
            return await what()
    raise AssertionError("it is tried for ever")
