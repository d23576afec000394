"""What a worker offers: executors, each with slots that its backends share."""

import asyncio
from collections.abc import Callable, Sequence

import stamina
import structlog
from msgspec.structs import replace

from broker.telemetry import times
from broker.transports.log import size_of
from broker.worker.slots import Slots
from executors.base import Changing, Executor, OfDevice, OfMachine
from schemas.inbox import CloseVendorSession
from schemas.limits import LARGEST_RECORD
from schemas.mocks import meant_by
from schemas.topics import STATUS
from schemas.workers import BackendAnnounced, SlotPool

WITHIN = 30.0  # s for which a worker waits at its start for those that are slow to start
AGAIN = 1.0  # s until one that failed to start is started again; each time twice as long, up to
AGAIN_AT_MOST = 60.0
WATCHED_EVERY = 60.0  # s between looks at what devices are like

logger = structlog.get_logger()


class Pool:
    """An *executor*, and so many *slots* for all its backends together.

    *beside*: whether it may take its time to start, so that nothing waits for it.
    """

    def __init__(self, name: str, executor: Executor, slots: int, *, beside: bool = False) -> None:
        self.name, self.executor, self.beside = name, executor, beside
        self.slots = Slots(slots)
        self.backends: tuple[BackendAnnounced, ...] = ()  # none until it has started
        self._begun: asyncio.Task[Sequence[BackendAnnounced]] | None = None

    def begin(self) -> None:
        """Let the executor get ready; `start` waits for that."""
        self._begun = asyncio.create_task(self.executor.start(), name=f"executor {self.name}")

    async def start(self) -> Sequence[BackendAnnounced]:
        """Start the executor, if that has not begun; what it offers. Raises what that raises."""
        begun, self._begun = self._begun, None
        return await (begun or self.executor.start())

    async def drop(self) -> None:
        """Let go of an executor that was begun, and never started."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.cancel()
            await asyncio.gather(begun, return_exceptions=True)
            await self.executor.close()

    @property
    def is_calibrating(self) -> bool:
        """Whether its device is calibrated now."""
        return any(backend.is_calibrating for backend in self.backends)

    def put(self, found: Sequence[BackendAnnounced]) -> bool:
        """Its backends are as in *found*, of those that it has; whether that is news."""
        names = {backend.name for backend in self.backends}
        ours = (backend for backend in found if backend.name in names)
        before, self.backends = self.backends, tuple(filter(fits_a_record, ours))
        self.fit()
        return self.backends != before

    def fit(self) -> None:
        """There are as many slots as its executor has found that the machine has for it."""
        if isinstance(self.executor, OfMachine):
            self.slots.resize(self.executor.slots)

    @property
    def announced(self) -> SlotPool:
        """What heartbeats say of it. A device takes nothing ahead: who is given to it goes before a
        session's next job, or the rest of a batch, that comes a moment later.
        """
        names = tuple(backend.name for backend in self.backends)
        ahead = 0 if isinstance(self.executor, OfDevice) else self.slots.ahead
        return SlotPool(self.name, names, self.slots.count, ahead)


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
        each = zip(self._all, firsts, strict=True)
        needed = [first for pool, first in each if not pool.beside]
        _, waiting = await asyncio.wait(needed, timeout=self._within)
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
        if pool.backends:
            self._on_late()

    async def _start(self, pool: Pool) -> None:
        backends = list(filter(fits_a_record, await pool.start()))
        for backend in backends:
            if (other := self._by_backend.setdefault(backend.name, pool)) is not pool:
                taken = {"backend": backend.name, "by": other.name, "pool": pool.name}
                logger.error("backend.offered_twice", **taken)
        pool.fit()
        pool.backends = tuple(b for b in backends if self._by_backend[b.name] is pool)

    async def watch(self, on_change: Callable[[], None], every: float = WATCHED_EVERY) -> None:
        """See, *every* so many seconds, what has become of devices and GPUs, each beside the others.
        *on_change* is called if one is another. Until cancelled, if there are any.
        """
        async with asyncio.TaskGroup() as watching:
            for pool in self._all:
                if isinstance(executor := pool.executor, Changing):
                    watched = self._watch(pool, executor, on_change, every)
                    watching.create_task(watched, name=f"watch {pool.name}")

    async def _watch(
        self, pool: Pool, executor: Changing, on_change: Callable[[], None], every: float
    ) -> None:
        while True:
            await asyncio.sleep(every)
            if not pool.backends or pool.is_calibrating:
                continue
            try:
                found = await executor.look()
            except Exception as error:  # noqa: BLE001  its executor says whatever it says
                logger.warning("backend.not_seen", pool=pool.name, error=repr(error))
                continue
            if pool.put(found):
                on_change()

    async def calibrate(self, backend: str, on_change: Callable[[], None]) -> None:
        """Have *backend* calibrated; *on_change* is called as that begins, and when it has ended."""
        pool = self._by_backend.get(backend)
        if pool is None or not isinstance(executor := pool.executor, OfDevice):
            logger.warning("calibration.not_possible", backend=backend)
            return
        pool.put([replace(each, is_calibrating=True) for each in pool.backends])
        on_change()
        found: Sequence[BackendAnnounced] = pool.backends
        try:
            found = await executor.calibrate()
            logger.info("calibration.done", backend=backend)
        except Exception as error:  # noqa: BLE001  its executor says whatever it says
            logger.error("calibration.failed", backend=backend, error=repr(error))
        finally:
            pool.put([replace(each, is_calibrating=False) for each in found])
            on_change()

    async def close_session(self, ended: CloseVendorSession) -> None:
        """Have what was opened for a session at the vendor of its device closed."""
        pool = self._by_backend.get(ended.backend)
        if pool is None or not isinstance(executor := pool.executor, OfDevice):
            return
        about = {"backend": ended.backend, "session_id": ended.session_id}
        try:
            await executor.close_session(ended.tenant, ended.session_id, ended.mode)
        except Exception as error:  # noqa: BLE001  its executor says whatever it says
            logger.warning("vendor_session.not_closed", error=repr(error), **about)

    async def close(self) -> None:
        """Let go of all executors."""
        for task in self._starts:
            task.cancel()
        await asyncio.gather(*self._starts, return_exceptions=True)
        closing = (pool.executor.close() for pool in self._all)
        await asyncio.gather(*closing)


def fits_a_record(backend: BackendAnnounced) -> bool:
    """Whether *backend* can be announced; one that can not is of no use to anybody, which is told."""
    size = size_of(STATUS.write(backend, times.now()))
    if size > LARGEST_RECORD:
        about = {"backend": backend.name, "size": size, "limit": LARGEST_RECORD}
        logger.error("backend.too_large", **about)
    return size <= LARGEST_RECORD
