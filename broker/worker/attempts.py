"""The attempts that this start of a worker knows: those that run, and those that ended lately."""

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from executors.base import Executor, LetsGo, Stop
from executors.deadlines import Deadlines
from schemas.inbox import CancelAttempt, Dispatch, Recorded
from schemas.reports import Body
from schemas.values import JobKey, Reason
from schemas.workers import AttemptName

NAMED_FOR = 30.0  # s that a heartbeat still names an attempt which has ended
NAMED = 1_000  # … but no more than so many, that a heartbeat stays a small record
REMEMBERED = 10_000  # ended attempts by which a repeated dispatch is recognised

T = TypeVar("T")


class Attempt:
    """One attempt that was dispatched to this worker."""

    def __init__(self, dispatch: Dispatch, patience: float, deadlines: Deadlines) -> None:
        self.dispatch = dispatch
        self.name = name_of(dispatch)
        self.stop = Stop()
        self.inputs = len(dispatch.params)  # bytes that are here
        self.number = 0  # of its newest report
        self.on_their_way: deque[asyncio.Future[None]] = deque()  # reports being appended, in order
        self.unrecorded: dict[int, asyncio.Event] = {}  # reports of which the ledger is awaited
        self.executor: Executor | None = None  # once it is known
        self._patience = patience
        self._deadlines = deadlines
        self._overdue: float | None = None  # loop time at which the executor has lost its chance
        self._waits: asyncio.Task[Any] | None = None  # for what the executor says next
        self._gives_up = False  # to wait for it

    @property
    def is_void(self) -> bool:
        """Whether the broker has given it up, so that nothing it says counts."""
        return self.stop.reason == Reason.WORKER_LOST

    @property
    def is_overdue(self) -> bool:
        """Whether the executor has lost its chance to end it."""
        return self._overdue is not None and asyncio.get_running_loop().time() >= self._overdue

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What *work* comes to; None, at once, if the attempt is to end before that."""
        task = asyncio.ensure_future(work)
        forget = self.stop.when_asked(lambda: _cancel(task))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self.stop.asked and task.cancelled():
                return None
            task.cancel()
            raise
        finally:
            forget()

    async def next_of(self, run: AsyncGenerator[Body, None]) -> Body:
        """What the executor says next; raises `TimeoutError` if it does not end as asked.

        What `asyncio.timeout` would do around each step, but without a timer for each.
        """
        if self.is_overdue:  # while somebody else was waited for: what is there counts
            async with asyncio.timeout(0):
                return await _next(run)
        self._waits = task = asyncio.current_task()
        try:
            return await _next(run)
        except asyncio.CancelledError:
            if self._gives_up and task is not None and task.uncancel() == 0:
                raise TimeoutError from None
            raise
        finally:
            self._waits = None

    def expect_end(self, within: float) -> None:
        """Wait for the executor for so many seconds at most, and for what it then has to let go of,
        if nobody asks for the end before.
        """
        if not self.stop.asked:
            self._give_up_in(within + self._lets_go_within(Reason.RAN_TOO_LONG))

    def end(self, reason: str) -> None:
        """Ask the executor to end it, and do not wait for ever."""
        if self.stop.asked:
            return
        self.stop.ask(reason)
        self._give_up_in(self._patience + self._lets_go_within(reason))

    def close(self) -> None:
        """It is over."""
        self._deadlines.forget(self._give_up)

    def _lets_go_within(self, reason: str) -> float:
        executor = self.executor
        return executor.lets_go_within(reason) if isinstance(executor, LetsGo) else 0.0

    def _give_up_in(self, seconds: float) -> None:
        self._overdue = asyncio.get_running_loop().time() + seconds
        if not math.isinf(seconds):
            self._deadlines.at(self._overdue, self._give_up)

    def _give_up(self) -> None:
        if self._waits is not None:
            self._gives_up = True
            self._waits.cancel()


async def _next(run: AsyncGenerator[Body, None]) -> Body:
    try:
        return await anext(run)
    except StopAsyncIteration:
        raise RuntimeError("the executor ended without saying how") from None


def name_of(instruction: Dispatch | CancelAttempt | Recorded) -> AttemptName:
    """The attempt that *instruction* is about."""
    return AttemptName(
        instruction.tenant, instruction.job_id, instruction.attempt, instruction.epoch
    )


class Attempts:
    """Which attempts are here. Bounded: what runs by the slots, what has ended by number.

    *patience*: seconds that an executor gets to end an attempt as asked, beside those that it needs
    to let go of what it has elsewhere.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._deadlines = Deadlines()
        self.running: dict[AttemptName, Attempt] = {}
        self._newest: dict[JobKey, Attempt] = {}  # of those; any others of its job are void
        self.idle = asyncio.Event()  # set while nothing runs
        self.idle.set()
        self._epoch = 0  # the highest that was heard
        self._ended: OrderedDict[AttemptName, float] = OrderedDict()
        self._cancelled_early: OrderedDict[AttemptName, str] = OrderedDict()

    def held(self) -> int:
        """Bytes of inputs that are here."""
        return sum(attempt.inputs for attempt in self.running.values())

    def begin(self, dispatch: Dispatch) -> Attempt | None:
        """The attempt that *dispatch* begins; None if that is known already, or void.

        What else runs of that job is void from now on: whoever dispatches it again has given up
        what went before, or has never heard of it.
        """
        name = name_of(dispatch)
        told_by = max(dispatch.epoch, dispatch.told_by)
        if name in self.running or name in self._ended or told_by < self._epoch:
            return None
        self._epoch = told_by
        job = JobKey(dispatch.tenant, dispatch.job_id)
        if (other := self._newest.get(job)) is not None:
            other.end(Reason.WORKER_LOST)
        attempt = self._newest[job] = Attempt(dispatch, self._patience, self._deadlines)
        if name in self._cancelled_early:
            attempt.stop.ask(self._cancelled_early.pop(name))
        self.running[name] = attempt
        self.idle.clear()
        return attempt

    def cancel(self, cancel: CancelAttempt) -> None:
        """End the attempt, or see to it that it does not begin if its dispatch comes later."""
        name = name_of(cancel)
        if name in self.running:
            self.running[name].end(cancel.reason)
        elif name not in self._ended:
            self._cancelled_early[name] = cancel.reason
            _trim(self._cancelled_early)

    def recorded(self, recorded: Recorded) -> None:
        """What the attempt waits for is on the ledger."""
        attempt = self.running.get(name_of(recorded))
        if attempt is not None and (waits := attempt.unrecorded.get(recorded.number)):
            waits.set()

    def end(self, attempt: Attempt, now: float) -> None:
        """Take note that *attempt* is over, at *now* on a clock that never goes back."""
        del self.running[attempt.name]
        attempt.close()
        job = JobKey(attempt.name.tenant, attempt.name.job_id)
        if self._newest.get(job) is attempt:
            del self._newest[job]
        self._ended[attempt.name] = now
        _trim(self._ended)
        if not self.running:
            self.idle.set()

    def names(self, now: float) -> tuple[AttemptName, ...]:
        """What a heartbeat names: what runs, and the newest of what ended in the last half minute."""
        lately: list[AttemptName] = []
        for name, ended in reversed(self._ended.items()):
            if now - ended > NAMED_FOR or len(lately) == NAMED:
                break
            lately.append(name)
        return (*self.running, *lately)


def _cancel(task: "asyncio.Task[Any]") -> None:
    task.cancel()


def _trim(remembered: OrderedDict[AttemptName, Any]) -> None:
    while len(remembered) > REMEMBERED:
        remembered.popitem(last=False)
