"""How a stream of events is read on: from where, and when it is opened again."""

import asyncio

from broker.cli.sse import Parser

RESUMED_FOR = 60.0  # s during which a stream that broke is opened again and again
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0  # s between those tries


class ResumedStream:
    """How far a stream was read, and when to open it again."""

    def __init__(self, after: str) -> None:
        self.last_id = after
        self.ended = False
        self.failures = 0  # since it was last heard
        self._opened = False
        self._retry = FIRST_PAUSE
        self._pause = 0.0
        self._silent_since = asyncio.get_running_loop().time()

    @property
    def may_retry(self) -> bool:
        """Whether it is worth another try: it has worked, and not too long ago."""
        now = asyncio.get_running_loop().time()
        return self._opened and now - self._silent_since < RESUMED_FOR

    def heard(self, parser: Parser) -> None:
        """The stream is there."""
        self._opened = True
        self.failures = 0
        self._silent_since = asyncio.get_running_loop().time()
        self.last_id = parser.id or self.last_id
        self._retry = self._pause = FIRST_PAUSE if parser.retry is None else parser.retry

    def asked_to_wait(self, retry_after: str) -> None:
        """The gateway is there, and wants to be asked later."""
        self._pause = float(retry_after) if retry_after.isdigit() else self._retry

    async def pause(self) -> None:
        """Wait before the next try, longer each time."""
        await asyncio.sleep(min(self._pause, LONGEST_PAUSE))
        self._pause = max(self._pause * 2, FIRST_PAUSE)
