"""Runs a program and the circuits that it makes together in one child process."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence

import msgspec

from executors.base import Stop, Task
from executors.children.frames import Kind, TaskHeader, task_frame
from executors.children.handle import Child
from executors.children.output import Output
from executors.children.pool import Pool
from schemas.reports import (
    LAST,
    Began,
    Body,
    Died,
    Logged,
    Published,
    Raised,
    Returned,
    Stopped,
)
from schemas.values import Reason
from schemas.workers import BackendAnnounced

START_GRACE = 30.0  # s beside the time limit, until the program has begun: to decode its inputs
MOST_WAITING = 16  # bodies that nobody has asked for yet; then the child has to wait
MOST_WAITING_BYTES = 1024 * 1024

_raised = msgspec.json.Decoder(Raised)


class SimulatorExecutor:
    """Runs programs on simulators, *slots* at once, in warm children.

    *programs* (id to `module:function`) are offered beside the built-in ones, and trusted as much.
    """

    def __init__(self, slots: int, programs: Mapping[str, str] | None = None) -> None:
        self._pool = Pool(slots, programs or {})

    @property
    def fork_server_pid(self) -> int:
        """The process that all children are forked from, and die with."""
        return self._pool.server_pid

    async def start(self) -> Sequence[BackendAnnounced]:
        """Start the fork server and the children. Raises `ForkServerError`."""
        return await self._pool.start()

    async def run(self, task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
        """Run *task* in a child; see `Executor.run`."""
        child = await self._pool.take(stop)
        if child is None:
            yield Stopped(stop.reason) if stop.reason else _closed()
            return
        attempt = Attempt(child, self._pool, task, stop)
        try:
            while not attempt.is_over:
                body = await attempt.next()
                yield body
        finally:
            attempt.close()

    async def close(self) -> None:
        """End every attempt, every child and the fork server."""
        await self._pool.close()


class Attempt:
    """What a child says, what it writes, its end, the limit and the stop: one row of bodies."""

    def __init__(self, child: Child, pool: Pool, task: Task, stop: Stop) -> None:
        self._loop = asyncio.get_running_loop()
        self._child = child
        self._pool = pool
        self._task = task
        self._stop = stop
        self._output = Output()
        self._bodies: deque[Body] = deque()
        self._size = 0  # bytes of those
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._log_timer: asyncio.TimerHandle | None = None
        self._ending: str | None = None  # why the child is being ended, if it is
        self._has_ended = False
        self._is_given_back = False
        self.is_over = False
        child.give(task_frame(TaskHeader(task.program_id, task.backend), task.inputs), self)
        self._set_limit(task.time_limit + START_GRACE)
        self._forget_stop = stop.when_asked(self._on_stop)

    async def next(self) -> Body:
        """What happened next; after the last body `is_over`, and the slot is free."""
        while not self._bodies:
            self._waiter = self._loop.create_future()
            await self._waiter
        body = self._bodies.popleft()
        self._size -= _size(body)
        if self._paused and not self._is_full:
            self._paused = False
            self._child.resume()
        if isinstance(body, LAST):
            self.is_over = True
            self.close()
        return body

    def close(self) -> None:
        """Free the slot; a child that still runs is killed."""
        if self._is_given_back:
            return
        self._is_given_back = True
        if not self._has_ended:
            self._child.kill()
            self._cancel_timers()
        self._pool.give_back(self._child)

    # What the child tells

    def on_frame(self, kind: Kind, payload: bytes) -> None:
        """The child said something."""
        match kind:
            case Kind.BEGAN:
                self._set_limit(self._task.time_limit)
                self._add(Began())
            case Kind.PUBLISHED:
                self._add(Published(msgspec.Raw(payload)))
            case Kind.RETURNED:
                self._end(Returned(msgspec.Raw(payload)))
            case Kind.RAISED:
                self._end(_raised.decode(payload))
            case _:  # nothing else comes from a child of ours
                self._child.kill()

    def on_output(self, data: bytes) -> None:
        """The program wrote something: told a little later, together with what follows."""
        self._output.add(data)
        if self._log_timer is None and (due := self._output.due(self._loop.time())) is not None:
            self._log_timer = self._loop.call_at(due, self._tell_output)

    def on_gone(self, how: str) -> None:
        """The child is dead: as we asked, or by itself."""
        if self._has_ended:
            return
        if self._ending is not None:
            self._end(Stopped(self._ending))
        elif self._pool.is_closed:
            self._end(_closed())
        else:
            self._end(Died(Reason.CHILD_DIED, f"the child process was lost: {how}"))

    # What ends it

    def _on_stop(self) -> None:
        assert self._stop.reason is not None
        self._end_child(self._stop.reason)

    def _on_limit(self) -> None:
        self._end_child(Reason.RAN_TOO_LONG)

    def _end_child(self, reason: str) -> None:
        if self._has_ended or self._ending is not None:
            return
        self._ending = reason
        self._child.end()

    def _set_limit(self, seconds: float) -> None:
        if self._limit is not None:
            self._limit.cancel()
        if not math.isinf(seconds):
            self._limit = self._loop.call_later(seconds, self._on_limit)

    def _end(self, last: Body) -> None:
        if self._has_ended:
            return
        self._child.read_output()
        self._has_ended = True
        self._cancel_timers()
        for text in self._output.rest():
            self._add(Logged(text))
        self._add(last)

    def _cancel_timers(self) -> None:
        self._forget_stop()
        for timer in (self._limit, self._log_timer):
            if timer is not None:
                timer.cancel()

    # What waits to be asked for

    def _tell_output(self) -> None:
        self._log_timer = None
        for text in self._output.pieces(self._loop.time()):
            self._add(Logged(text))

    @property
    def _is_full(self) -> bool:
        return len(self._bodies) >= MOST_WAITING or self._size >= MOST_WAITING_BYTES

    def _add(self, body: Body) -> None:
        self._bodies.append(body)
        self._size += _size(body)
        if self._is_full and not self._paused and not self._has_ended:
            self._paused = True
            self._child.pause()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _size(body: Body) -> int:
    return len(memoryview(body.value)) if isinstance(body, (Published, Returned)) else 0


def _closed() -> Died:
    return Died(Reason.WORKER_STOPPED, "the worker stopped before the program ended")
