"""Says that the worker lives, what it offers and what it runs."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from broker.errors import LogUnavailableError
from broker.retrying import say_unavailable
from broker.telemetry import times
from broker.transports.log import Log
from broker.worker.attempts import Attempts
from broker.worker.slots import Slots
from schemas.topics import STATUS
from schemas.workers import BackendAnnounced, EnvironmentAnnounced, Heartbeat, Status

EVERY = 1.0  # s between heartbeats
ANNOUNCE_EVERY = 60.0  # s between announcements of the backends


class Heart:
    """Beats once a second, and at once when asked."""

    def __init__(
        self, log: Log, attempts: Attempts, worker: str, instance: str, slots: Slots
    ) -> None:
        self._log = log
        self._attempts = attempts
        self._worker = worker
        self._instance = instance
        self._slots = slots
        self._now = asyncio.Event()
        self.backends: Sequence[BackendAnnounced] = ()
        self.environment: EnvironmentAnnounced | None = None  # until it is known
        self.inbox = 0  # next offset of the inbox; everything before it was heeded
        self.stopping = False
        self.left = False

    async def run(self) -> None:
        """Beat until cancelled."""
        loop = asyncio.get_running_loop()
        announce_at = loop.time()
        while True:
            if loop.time() >= announce_at:
                await self._append(*self._announced, self._heartbeat())
                announce_at = loop.time() + ANNOUNCE_EVERY
            else:
                await self.beat()
            self._now.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._now.wait()

    @property
    def _announced(self) -> Sequence[Status]:
        return [*self.backends, self.environment] if self.environment else self.backends

    async def announce(self, environment: EnvironmentAnnounced) -> None:
        """Say what is installed, now and then."""
        self.environment = environment
        await self._append(environment)

    def beat_now(self) -> None:
        """Do not wait for the next second."""
        self._now.set()

    async def beat(self) -> None:
        """Beat once."""
        await self._append(self._heartbeat())

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(
            worker=self._worker,
            instance=self._instance,
            slots=self._slots.count,
            ahead=self._slots.ahead,
            backends=tuple(backend.name for backend in self.backends),
            attempts=self._attempts.names(asyncio.get_running_loop().time()),
            running=len(self._attempts.running),
            inbox=self.inbox,
            stopping=self.stopping,
            left=self.left,
        )

    async def _append(self, *bodies: Status) -> None:
        time = times.now()
        try:
            await self._log.append(STATUS.name, [STATUS.write(body, time) for body in bodies])
        except LogUnavailableError as error:  # the next one will do
            say_unavailable(error, topic=STATUS.name)
