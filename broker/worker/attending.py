"""Sees attempts through: an executor runs each of them once, and all that it says is put on record."""

import asyncio
from contextlib import aclosing
from functools import cache

import structlog

from broker.errors import QjbError, UnavailableError
from broker.telemetry import metrics
from broker.worker.attempts import Attempt, Attempts
from broker.worker.heartbeat import Heart
from broker.worker.pools import Pool, Pools
from broker.worker.reports import Reports
from broker.worker.tasks import Tasks
from executors.base import Task
from schemas.limits import INLINE
from schemas.reports import (
    AWAITED,
    FACTS,
    LAST,
    Began,
    Body,
    Calibrated,
    Died,
    Intended,
    Published,
    Raised,
    Returned,
    Stopped,
)
from schemas.values import Reason

_BUSY = metrics.SLOTS.labels("busy")
_ended_as = cache(metrics.ATTEMPTS.labels)

logger = structlog.get_logger()


class Attendant:
    """Runs attempts, each by its backend's executor in one of its slots. *late*: seconds beyond an
    attempt's time limit after which the executor is not waited for any more.
    """

    def __init__(
        self,
        worker_id: str,
        pools: Pools,
        tasks: Tasks,
        attempts: Attempts,
        reports: Reports,
        heart: Heart,
        *,
        late: float,
    ) -> None:
        self._worker_id = worker_id
        self._pools = pools
        self._tasks = tasks
        self._attempts = attempts
        self._reports = reports
        self._heart = heart
        self._late = late
        self._attending: set[asyncio.Task[None] | None] = set()
        _BUSY.set_function(lambda: len(attempts.running))

    def begin(self, attempt: Attempt) -> None:
        """See *attempt* through, from now on."""
        task = asyncio.create_task(self._attend(attempt), name=f"attempt {attempt.name.job_id}")
        self._attending.add(task)

    async def drop(self) -> None:
        """Let go of every attempt at once."""
        tasks = [task for task in self._attending if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _attend(self, attempt: Attempt) -> None:
        loop, dispatch = asyncio.get_running_loop(), attempt.dispatch
        about = {"job_id": dispatch.job_id, "tenant": dispatch.tenant, "attempt": dispatch.attempt}
        began = loop.time()
        try:
            last = await self._outcome(attempt)
            seconds = round(loop.time() - began, 4)
            outcome = "void" if attempt.is_void else str(last.__struct_config__.tag)
            _ended_as(outcome).inc()
            metrics.ATTEMPT_SECONDS.observe(seconds)
            logger.info("attempt.ended", **about, outcome=outcome, seconds=seconds)
        except Exception:
            logger.exception("attempt.unreported", **about)
        finally:
            self._attempts.end(attempt, loop.time())
            self._attending.discard(asyncio.current_task())

    async def _outcome(self, attempt: Attempt) -> Body:
        """Run it, put all that happens on record, and say how it ended."""
        try:
            return await self._run(attempt)
        except UnavailableError as error:  # no room to look at the inputs: elsewhere there may be
            return await self._report(attempt, Died(Reason.WORKER_BUSY, error.message))
        except QjbError as error:  # inputs that are not there, a report that no log would take
            return await self._report(attempt, Raised(error.code, error.message))
        except Exception as error:
            if isinstance(error, TimeoutError) and attempt.is_overdue:
                logger.warning("executor.overdue", job_id=attempt.dispatch.job_id)
                reason = attempt.stop.reason or Reason.RAN_TOO_LONG
                return await self._report(attempt, Stopped(reason))
            logger.exception("executor.failed", job_id=attempt.dispatch.job_id)
            why = f"the executor failed: {type(error).__name__}: {error}"
            return await self._report(attempt, Died(Reason.CHILD_DIED, why))

    async def _run(self, attempt: Attempt) -> Body:
        if attempt.stop.reason is not None:
            return await self._report(attempt, Stopped(attempt.stop.reason))
        if (pool := self._pools.of(attempt.dispatch.backend)) is None:
            why = f"the worker {self._worker_id} does not offer {attempt.dispatch.backend}"
            return await self._report(attempt, Died(Reason.WORKER_BUSY, why))
        attempt.executor = pool.executor
        if not await pool.slots.take(attempt):
            return await self._return_unbegun(attempt)
        try:
            last = await self._run_now(attempt, pool)
        finally:
            pool.slots.give(attempt)  # the next one need not wait until this one is on record
        return await self._report(attempt, await self._stowed(attempt, last))

    async def _return_unbegun(self, attempt: Attempt) -> Body:
        if attempt.stop.reason is not None:
            return await self._report(attempt, Stopped(attempt.stop.reason))
        self._heart.beat_now()  # that it takes nothing ahead now
        why = f"the worker {self._worker_id} had no slot for it soon"
        return await self._report(attempt, Died(Reason.WORKER_BUSY, why))

    async def _run_now(self, attempt: Attempt, pool: Pool) -> Body:
        """Run it, and put on record what it says but for the last; the last."""
        task = await self._tasks.of(attempt)
        if not isinstance(task, Task):
            return task
        async with aclosing(pool.executor.run(task, attempt.stop)) as run:
            while not isinstance(body := await attempt.next_of(run), LAST):
                if isinstance(body, Began):
                    attempt.expect_end(task.time_limit + self._late)
                body = await self._tasks.looked_at(attempt, body)
                body = await self._stowed(attempt, body)
                if isinstance(body, Stopped):
                    return body
                if not await self._told(attempt, body):
                    return Stopped(attempt.stop.reason or "")
            return await self._tasks.looked_at(attempt, body)

    async def _report(self, attempt: Attempt, body: Body) -> Body:
        """Put *body* on record, unless the attempt is void; what was recorded."""
        if isinstance(body, Stopped) and body.reason == Reason.WORKER_STOPPED:
            body = Died(Reason.WORKER_STOPPED, f"the worker {self._worker_id} does not run it (on)")
        if not attempt.is_void or isinstance(body, FACTS):
            await self._reports.append(attempt, body)
        return body

    async def _told(self, attempt: Attempt, body: Body) -> bool:
        """Put *body* on record, on the ledger where that is awaited; whether the executor may go on."""
        if not isinstance(body, AWAITED):
            await self._report(attempt, body)
            return True
        if isinstance(body, Intended) and attempt.stop.asked:
            return False  # so that nobody has to ask the vendor for what was never submitted
        return await self._reports.to_ledger(attempt, body) or not isinstance(body, Intended)

    async def _stowed(self, attempt: Attempt, body: Body) -> Body:
        """*body* as it may travel; an end as asked, if that comes before a large value is stored."""
        if not _may_wait_for_store(body):
            return body
        stowed = await attempt.unless_stopped(self._reports.stowed(body))
        return Stopped(attempt.stop.reason or "") if stowed is None else stowed


def _may_wait_for_store(body: Body) -> bool:
    if isinstance(body, Calibrated):
        return bool(body.properties)
    return isinstance(body, (Published, Returned, Raised)) and len(body.value) > INLINE
