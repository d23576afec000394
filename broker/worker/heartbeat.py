"""Says that the worker lives, what it offers and what it runs."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog

from broker.errors import LogUnavailableError, RecordTooLargeError
from broker.retrying import say_unavailable
from broker.telemetry import times
from broker.transports.log import Log
from broker.worker.attempts import Attempts
from broker.worker.pools import Pools
from schemas.cloudevents import status_key
from schemas.topics import STATUS
from schemas.workers import EnvironmentAnnounced, Heartbeat, Status

EVERY = 1.0  # s between heartbeats
ANNOUNCE_EVERY = 60.0  # s between announcements of the backends

logger = structlog.get_logger()


class Heart:
    """Beats once a second, and at once when asked."""

    def __init__(
        self, log: Log, attempts: Attempts, worker: str, instance: str, pools: Pools
    ) -> None:
        self._log = log
        self._attempts = attempts
        self._worker = worker
        self._instance = instance
        self._pools = pools
        self._now = asyncio.Event()
        self._announce_at = 0.0  # loop time
        self.environment: EnvironmentAnnounced | None = None  # until it is known
        self.inbox = 0  # next offset of the inbox; everything before it was heeded
        self.stopping = False
        self.left = False

    async def run(self) -> None:
        """Beat until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            if loop.time() >= self._announce_at:
                self._announce_at = loop.time() + ANNOUNCE_EVERY
                await self._append(*self._announced, self._heartbeat())
            else:
                await self.beat()
            self._now.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._now.wait()

    @property
    def _announced(self) -> Sequence[Status]:
        backends = self._pools.backends
        return [*backends, self.environment] if self.environment else backends

    async def announce(self, environment: EnvironmentAnnounced) -> None:
        """Say what is installed, now and then."""
        self.environment = environment
        await self._append(environment)

    def announce_now(self) -> None:
        """There are other backends: do not wait for the next minute."""
        self._announce_at = 0.0
        self.beat_now()

    def beat_now(self) -> None:
        """Do not wait for the next second."""
        self._now.set()

    async def beat(self) -> None:
        """Beat once."""
        await self._append(self._heartbeat())

    def _heartbeat(self) -> Heartbeat:
        pools = tuple(pool.announced for pool in self._pools.started)
        return Heartbeat(
            worker=self._worker,
            instance=self._instance,
            slots=sum(pool.slots for pool in pools),
            ahead=sum(pool.ahead for pool in pools),
            backends=tuple(name for pool in pools for name in pool.backends),
            pools=pools,
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
        except RecordTooLargeError as error:
            if len(bodies) == 1:
                logger.error("status.too_large", key=status_key(bodies[0]), error=error.message)
                return
            for body in bodies:  # none was stored: those that are not too large are now
                await self._append(body)
