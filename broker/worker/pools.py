"""What a worker offers: executors, each with slots that its backends share."""

import asyncio
from collections.abc import Callable, Sequence

import stamina
import structlog

from broker.worker.slots import Slots
from executors.base import Executor
from schemas.mocks import meant_by
from schemas.workers import BackendAnnounced, SlotPool

WITHIN = 30.0  # s for which a worker waits at its start for those that are slow to start
AGAIN = 1.0  # s until one that failed to start is started again; each time twice as long, up to
AGAIN_AT_MOST = 60.0

logger = structlog.get_logger()


class Pool:
    """An *executor*, and so many *slots* for all its backends together."""

    def __init__(self, name: str, executor: Executor, slots: int) -> None:
        self.name, self.executor = name, executor
        self.slots = Slots(slots)
        self.backends: tuple[BackendAnnounced, ...] = ()  # none until it has started

    @property
    def announced(self) -> SlotPool:
        """What heartbeats say of it."""
        names = tuple(backend.name for backend in self.backends)
        return SlotPool(self.name, names, self.slots.count, self.slots.ahead)


class Pools:
    """Which pool has which backend. One that does not start takes none of the others with it: it is
    started again until it does, the first time after *again* seconds.
    """

    def __init__(
        self, pools: Sequence[Pool], *, within: float = WITHIN, again: float = AGAIN
    ) -> None:
        self._all, self._within, self._again = pools, within, again
        self._by_backend: dict[str, Pool] = {}
        self._starts: list[asyncio.Task[None]] = []
        self._on_late: Callable[[], None] = lambda: None

    @property
    def started(self) -> Sequence[Pool]:
        """Those that have backends."""
        return [pool for pool in self._all if pool.backends]

    @property
    def backends(self) -> Sequence[BackendAnnounced]:
        """All that is offered."""
        return [backend for pool in self.started for backend in pool.backends]

    @property
    def slots(self) -> int:
        """How many there are in all that have started."""
        return sum(pool.slots.count for pool in self.started)

    def of(self, backend: str) -> Pool | None:
        """The pool of that backend, or of the one that it is the mock of."""
        return self._by_backend.get(meant_by(backend, self._by_backend))

    async def start(self, on_late: Callable[[], None]) -> None:
        """Start all; those that take longer than the others, or fail, go on beside.

        *on_late* is called for each of those that has started. Raises what the first one raised if
        none started.
        """
        firsts = [asyncio.create_task(self._start(pool)) for pool in self._all]
        self._starts += firsts
        _, waiting = await asyncio.wait(firsts, timeout=self._within)
        while waiting and not self.started:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not self.started:
            await firsts[0]
        self._on_late = on_late
        for pool, first in zip(self._all, firsts, strict=True):
            if pool not in self.started:
                name = f"start of {pool.name}"
                self._starts.append(asyncio.create_task(self._go_on(pool, first), name=name))

    async def _go_on(self, pool: Pool, first: asyncio.Task[None]) -> None:
        async for attempt in stamina.retry_context(
            Exception,
            attempts=None,
            timeout=None,
            wait_initial=self._again,
            wait_max=AGAIN_AT_MOST,
            wait_jitter=self._again,
        ):
            with attempt:
                try:
                    await (first if attempt.num == 1 else self._start(pool))
                except Exception as error:
                    logger.error("executor.not_started", pool=pool.name, error=repr(error))
                    raise
        self._on_late()

    async def _start(self, pool: Pool) -> None:
        backends = await pool.executor.start()
        for backend in backends:
            if (other := self._by_backend.setdefault(backend.name, pool)) is not pool:
                taken = {"backend": backend.name, "by": other.name, "pool": pool.name}
                logger.error("backend.offered_twice", **taken)
        pool.backends = tuple(b for b in backends if self._by_backend[b.name] is pool)

    async def close(self) -> None:
        """Let go of all executors."""
        for task in self._starts:
            task.cancel()
        await asyncio.gather(*self._starts, return_exceptions=True)
        closing = (pool.executor.close() for pool in self._all)
        await asyncio.gather(*closing)
