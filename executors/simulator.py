"""Runs a program and the circuits that it makes together in one child process."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

import msgspec
import structlog
from msgspec.structs import replace

from executors.base import Stop, Task
from executors.children.capacity import per_child
from executors.children.frames import ChildKind, End, Kind, TaskHeader
from executors.children.handle import Child
from executors.children.output import Interim, Output
from executors.children.pool import CHILD_WITHIN, NoChildError, Pool
from executors.children.said import is_json, raised_of, withheld_of
from executors.memory import exceeded, told
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
    Withheld,
)
from schemas.values import Reason, Sandbox
from schemas.workers import BackendAnnounced

DECODING = 30.0  # s until the program has begun: to decode its inputs
FIRST_LOOK = 0.05  # s after which it is seen for the first time how much memory an attempt takes
LOOK_AGAIN = (0.02, 0.25)  # s; sooner if it may soon be too much
FILLS = 4 * 1024**3  # bytes a second that a program may take
MOST_WAITING = 16  # bodies that nobody has asked for yet; then the child has to wait
MOST_WAITING_BYTES = 1024 * 1024

KILLED = "killed by SIGKILL"
NO_MORE = "the machine or its container had no more memory for the program, which may use"
NO_MEMORY = re.compile(  # what libraries write before they abort for want of memory
    rb"memory allocation of \d+ bytes failed|bad_alloc|Cannot allocate memory"
    rb"|libgomp: Thread creation failed"
)

logger = structlog.get_logger()


class SimulatorExecutor:
    """Runs programs on simulators, *slots* at once, in warm children.

    *programs* (id to `module:function`) are offered beside the built-in ones, and trusted as much.
    *memory*: bytes that they share, by default what is free now but for some room. *decoding*:
    seconds that it may take to decode a job's inputs. *on_child* is called for each child that is
    started. *child_within*: seconds for which an attempt waits where no child can be made.
    *sandbox*: the least that programs which users have uploaded need to run here.
    """

    def __init__(
        self,
        slots: int,
        programs: Mapping[str, str] | None = None,
        *,
        memory: int | None = None,
        decoding: float = DECODING,
        on_child: Callable[[], None] = lambda: None,
        child_within: float = CHILD_WITHIN,
        sandbox: Sandbox = Sandbox.FULL,
    ) -> None:
        self._pool = Pool(slots, programs or {}, per_child(slots, memory), on_child, child_within)
        self._decoding = decoding
        self._least = sandbox
        self._refusal: str | None = None  # why no uploaded program runs here

    @property
    def fork_server_pid(self) -> int:
        """The process that all children are forked from, and die with."""
        return self._pool.server_pid

    async def start(self) -> Sequence[BackendAnnounced]:
        """Start the fork server and the children. Raises `ForkServerError`."""
        ready = await self._pool.start()
        if not ready.sandbox.is_at_least(self._least):
            self._refusal = (
                f"this worker runs no programs that users have uploaded: its sandbox is "
                f"{ready.sandbox} ({ready.missing}), and QJB_SANDBOX={self._least} asks for more"
            )
        level = "" if self._refusal else ready.sandbox
        logger.info(
            "sandbox.probed", sandbox=ready.sandbox, missing=ready.missing, refused=not level
        )
        return [replace(backend, sandbox=level) for backend in ready.backends]

    async def run(self, task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
        """Run *task* in a child; see `Executor.run`."""
        if task.uploaded is not None and self._refusal is not None:
            yield Raised(Reason.NO_SANDBOX, self._refusal)
            return
        try:
            child = await self._pool.take(ChildKind.of(task.uploaded), stop)
        except NoChildError as error:
            yield Died(Reason.WORKER_BUSY, str(error))  # it may begin elsewhere, or later
            return
        if child is None:
            yield Stopped(stop.reason) if stop.reason else _closed()
            return
        run = Run(child, self._pool, task, stop, self._decoding)
        try:
            while not run.is_over:
                body = await run.next()
                yield body
        finally:
            run.close()

    async def close(self) -> None:
        """End every attempt, every child and the fork server."""
        await self._pool.close()


class Run:
    """What a child says, what it writes, its end, the limit and the stop: one row of bodies."""

    def __init__(self, child: Child, pool: Pool, task: Task, stop: Stop, decoding: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._child = child
        self._pool = pool
        self._task = task
        self._stop = stop
        self._decoding = decoding
        self._output = Output()
        self._interim = Interim() if task.uploaded else None
        self._bodies: deque[tuple[Body, int]] = deque()  # with the bytes that their values take
        self._size = 0  # of those together
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._deadlines = pool.deadlines
        self._log_timer: asyncio.TimerHandle | None = None
        self._ending: Stopped | Raised | Died | None = None  # as what the child is being ended
        self._has_begun = False
        self._has_ended = False
        self._is_given_back = False
        self.is_over = False
        header = TaskHeader(task.program_id, task.backend, task.time_limit, task.uploaded)
        child.give(header, task.inputs, self)
        self._memory = 0  # bytes that it had taken when somebody looked
        now = self._loop.time()
        self._limit = now + decoding  # loop time at which it has to be further than now
        self._look_at(now + FIRST_LOOK)
        self._forget_stop = stop.when_asked(self._on_stop)

    async def next(self) -> Body:
        """What happened next; after the last body `is_over`, and the slot is free."""
        while not self._bodies:
            self._waiter = self._loop.create_future()
            await self._waiter
        body, size = self._bodies.popleft()
        self._size -= size
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
            self._forget_all()
        self._pool.give_back(self._child)

    # What the child tells

    def on_frame(self, kind: Kind, payload: bytes) -> None:
        """The child said something."""
        if self._has_ended:
            return  # whoever says more is about to be ended
        match kind:
            case Kind.BEGAN if not self._has_begun:
                self._has_begun = True
                self._set_limit(self._task.time_limit)
                self._add(Began())
            case Kind.PUBLISHED if self._has_begun and is_json(payload):
                self._publish(Published(msgspec.Raw(payload)), len(payload))
            case Kind.RETURNED if self._has_begun and is_json(payload):
                self._end(Returned(msgspec.Raw(payload)), len(payload))
            case Kind.WITHHELD if self._has_begun and (withheld := withheld_of(payload)):
                self._publish(withheld, len(payload))
            case Kind.RAISED if raised := raised_of(payload):
                self._end(raised, len(payload))
            case _:
                self.on_nonsense(f"a frame {kind.name} that nobody can read")

    def on_nonsense(self, why: str) -> None:
        """The program has got hold of the connection of its process: it may speak no more."""
        message = f"the program broke the connection of its process to the worker: {why}"
        self._child.kill()
        self._end(self._ending or Raised(Reason.PROGRAM_ERROR, message))  # it may take long to die

    def on_output(self, data: bytes) -> None:
        """The program wrote something: told a little later, together with what follows."""
        self._output.add(data)
        if self._log_timer is None and (due := self._output.due(self._loop.time())) is not None:
            self._log_timer = self._loop.call_at(due, self._tell_output)

    def on_gone(self, end: End) -> None:
        """The child is dead: as we asked, or by itself."""
        if self._has_ended:
            return
        if self._ending is not None:
            self._end(self._ending)
        elif self._pool.is_closed:
            self._end(_closed())
        else:
            self._end(self._death(end))

    def _death(self, end: End) -> Raised | Died:
        """Why the child died when nobody had asked it to."""
        if end.is_crash:
            if self._memory > self._pool.memory // 2 or NO_MEMORY.search(self._output.tail):
                return self._too_much(f"its process {end.how}")
            return Died(Reason.CHILD_CRASHED, f"the child process crashed: {end.how}")
        if end.how == KILLED and self._pool.was_short_of_memory():
            return Raised(Reason.OUT_OF_MEMORY, f"{NO_MORE} {told(self._pool.memory)} at most")
        return Died(Reason.CHILD_DIED, f"the child process was lost: {end.how}")

    def _too_much(self, detail: str) -> Raised:
        return Raised(Reason.OUT_OF_MEMORY, exceeded(self._pool.memory, detail))

    # What ends it

    def _on_stop(self) -> None:
        assert self._stop.reason is not None
        self._end_child(Stopped(self._stop.reason))

    def _look(self) -> None:
        """End it if it holds more memory than it may, or takes too long; else look again soon."""
        now = self._loop.time()
        if now >= self._limit:
            self._on_limit()
            return
        self._memory = self._child.memory
        left = self._pool.memory - self._memory
        if left < 0:
            self._end_child(self._too_much(f"it held {told(self._memory)}"))
            return
        soonest, latest = LOOK_AGAIN
        self._look_at(now + min(max(left / FILLS, soonest), latest))

    def _look_at(self, when: float) -> None:
        self._next_look = min(when, self._limit)
        self._deadlines.at(self._next_look, self._look)

    def _set_limit(self, seconds: float) -> None:
        self._limit = self._loop.time() + seconds
        if self._limit < self._next_look:
            self._look_at(self._limit)

    def _on_limit(self) -> None:
        if self._has_begun:
            self._end_child(Stopped(Reason.RAN_TOO_LONG))
            return
        message = f"the inputs could not be decoded within {self._decoding:g} s"
        self._end_child(Raised(Reason.INVALID_INPUTS, message))

    def _end_child(self, last: Stopped | Raised | Died) -> None:
        if self._has_ended or self._ending is not None:
            return
        self._ending = last
        self._child.kill()

    def _publish(self, body: Published | Withheld, size: int) -> None:
        if self._interim and (most := self._interim.exceeded(size)):
            message = f"the program published more than {most}"
            self._end_child(Raised(Reason.PROGRAM_ERROR, message))
        else:
            self._add(body, size)

    def _end(self, last: Body, size: int = 0) -> None:
        if self._has_ended:
            return
        self._child.read_output()
        self._has_ended = True
        self._forget_all()
        for text in self._output.rest():
            self._add(Logged(text))
        self._add(last, size)

    def _forget_all(self) -> None:
        """Nothing leads back here any more, so that nothing is left to the collector."""
        self._forget_stop()
        self._forget_stop = _forgotten
        self._deadlines.forget(self._look)
        if self._log_timer is not None:
            self._log_timer.cancel()

    # What waits to be asked for

    def _tell_output(self) -> None:
        self._log_timer = None
        for text in self._output.pieces(self._loop.time()):
            self._add(Logged(text))

    @property
    def _is_full(self) -> bool:
        return len(self._bodies) >= MOST_WAITING or self._size >= MOST_WAITING_BYTES

    def _add(self, body: Body, size: int = 0) -> None:
        self._bodies.append((body, size))
        self._size += size
        if self._is_full and not self._paused and not self._has_ended:
            self._paused = True
            self._child.pause()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _forgotten() -> None:
    """The stop has forgotten the attempt already."""


def _closed() -> Died:
    return Died(Reason.WORKER_STOPPED, "the worker stopped before the program ended")
