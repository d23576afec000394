"""One attempt in a child, from the task that it is given to how it ended."""

import asyncio
import re
from typing import Protocol

import msgspec

from executors.backends.described import DescribedDevice
from executors.base import Stop, Task
from executors.children.asking import NUMBER
from executors.children.backlog import Backlog
from executors.children.frames import End, Kind, TaskHeader
from executors.children.handle import Child
from executors.children.output import Interim, Output
from executors.children.pool import Pool
from executors.children.said import is_json, raised_of, withheld_of
from executors.children.watchdog import Watchdog
from executors.memory import exceeded, told
from schemas.reports import (
    LAST,
    Began,
    Body,
    Died,
    Logged,
    Parked,
    Published,
    Raised,
    Returned,
    Stopped,
    Withheld,
)
from schemas.values import Reason

KILLED = "killed by SIGKILL"
NO_MORE = "the machine or its container had no more memory for the program, which may use"
NO_MEMORY = re.compile(  # what libraries write before they abort for want of memory
    rb"memory allocation of \d+ bytes failed|bad_alloc|Cannot allocate memory"
    rb"|libgomp: Thread creation failed"
)


class Caller(Protocol):
    """Who sees a program's calls to its device through."""

    device: DescribedDevice
    seed: int  # of what the program draws: less than 2**32

    def on_call(self, run: "Run", number: int, asked: bytes) -> str | None:
        """The program asks; why that is no call, if it is none."""


class Run:
    """What a child says, what it writes, its end, the limit and the stop: one row of bodies."""

    def __init__(
        self,
        child: Child,
        pool: Pool,
        task: Task,
        stop: Stop,
        decoding: float,
        caller: Caller | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._child = child
        self._pool = pool
        self._task = task
        self._stop = stop
        self._decoding = decoding
        self._caller = caller
        self._backlog = Backlog(child)
        self._output = Output()
        self._interim = Interim() if task.uploaded else None
        self._log_timer: asyncio.TimerHandle | None = None
        # As what the child is being ended:
        self._ending: Stopped | Raised | Died | Parked | None = None
        self._has_begun = False
        self._has_ended = False
        self._is_given_back = False
        self._kills = pool.kills.before(self._loop.time())  # for want of memory
        self.is_over = False
        child.give(_header(task, caller), task.inputs, self)
        self._watchdog = Watchdog(child, pool.memory, pool.deadlines, decoding, self)
        self._forget_stop = stop.when_asked(self._on_stop)

    async def next(self) -> Body:
        """What happened next; after the last body `is_over`, and the slot is free."""
        body = await self._backlog.next()
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

    # For its caller

    def put_on_record(self, body: Body) -> asyncio.Future[None]:
        """Say *body*; done once it is on record. Cancelled if the attempt ends before."""
        return self._backlog.put_on_record(body)

    def say(self, text: str) -> None:
        """A line for the log of the job, from whoever runs it."""
        if not self._has_ended:
            self._backlog.add(Logged(text))

    def answer(self, number: int, answered: bytes) -> None:
        """Tell the program what came of its call."""
        if not self._has_ended:
            self._child.answer(NUMBER.pack(number) + answered)

    def give_up(self, last: Parked | Died) -> None:
        """A call goes no further here."""
        self._end_child(last)

    # What the child tells

    def on_frame(self, kind: Kind, payload: bytes) -> None:
        """The child said something."""
        if self._has_ended:
            return  # whoever says more is about to be ended
        match kind:
            case Kind.BEGAN if not self._has_begun:
                self._has_begun = True
                self._watchdog.set_limit(self._task.time_limit)
                self._backlog.add(Began())
            case Kind.PUBLISHED if self._has_begun and is_json(payload):
                self._publish(Published(msgspec.Raw(payload)), len(payload))
            case Kind.RETURNED if self._has_begun and is_json(payload):
                self._end(Returned(msgspec.Raw(payload)), len(payload))
            case Kind.WITHHELD if self._has_begun and (withheld := withheld_of(payload)):
                self._publish(withheld, len(payload))
            case Kind.CALL if self._has_begun and self._caller and len(payload) > NUMBER.size:
                (number,) = NUMBER.unpack_from(payload)
                if why := self._caller.on_call(self, number, payload[NUMBER.size :]):
                    self.on_nonsense(why)
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

    def _tell_output(self) -> None:
        self._log_timer = None
        for text in self._output.pieces(self._loop.time()):
            self._backlog.add(Logged(text))

    def on_gone(self, end: End) -> None:
        """The child is dead: as we asked, or by itself."""
        if self._has_ended:
            return
        if self._ending is not None:
            self._end(self._ending)
        elif self._pool.is_closed:
            self._end(closed())
        else:
            self._end(self._death(end))

    def _death(self, end: End) -> Raised | Died:
        """Why the child died when nobody had asked it to."""
        if end.is_crash:
            if self._watchdog.held > self._pool.memory // 2 or NO_MEMORY.search(self._output.tail):
                return self._too_much(f"its process {end.how}")
            return Died(Reason.CHILD_CRASHED, f"the child process crashed: {end.how}")
        if end.how == KILLED and self._pool.kills.one_since(self._kills):
            return Raised(Reason.OUT_OF_MEMORY, f"{NO_MORE} {told(self._pool.memory)} at most")
        return Died(Reason.CHILD_DIED, f"the child process was lost: {end.how}")

    def _too_much(self, detail: str) -> Raised:
        return Raised(Reason.OUT_OF_MEMORY, exceeded(self._pool.memory, detail))

    # What ends it

    def _on_stop(self) -> None:
        assert self._stop.reason is not None
        self._end_child(Stopped(self._stop.reason))

    def on_memory(self, held: int) -> None:
        """It holds more than it may."""
        self._end_child(self._too_much(f"it held {told(held)}"))

    def on_limit(self) -> None:
        """It takes longer than it may, to decode its inputs or in all."""
        if self._has_begun:
            self._end_child(Stopped(Reason.RAN_TOO_LONG))
            return
        message = f"the inputs could not be decoded within {self._decoding:g} s"
        self._end_child(Raised(Reason.INVALID_INPUTS, message))

    def _end_child(self, last: Stopped | Raised | Died | Parked) -> None:
        if self._has_ended or self._ending is not None:
            return
        self._ending = last
        self._child.kill()

    def _publish(self, body: Published | Withheld, size: int) -> None:
        if self._interim and (most := self._interim.exceeded(size)):
            message = f"the program published more than {most}"
            self._end_child(Raised(Reason.PROGRAM_ERROR, message))
        else:
            self._backlog.add(body, size)

    def _end(self, last: Body, size: int = 0) -> None:
        if self._has_ended:
            return
        self._child.read_output()
        self._has_ended = True
        self._forget_all()
        for text in self._output.rest():
            self._backlog.add(Logged(text))
        self._backlog.add(last, size)

    def _forget_all(self) -> None:
        """Nothing leads back here any more, so that nothing is left to the collector."""
        self._forget_stop()
        self._forget_stop = _forgotten
        self._watchdog.end()
        self._backlog.end()
        if self._log_timer is not None:
            self._log_timer.cancel()


def _header(task: Task, caller: Caller | None) -> TaskHeader:
    about = task.program_id, task.backend, task.time_limit, task.uploaded
    if caller is None:
        return TaskHeader(*about)
    return TaskHeader(*about, device=caller.device, seed=caller.seed)


def _forgotten() -> None:
    """The stop has forgotten the attempt already."""


def closed() -> Died:
    """How an attempt ends whose executor is closed."""
    return Died(Reason.WORKER_STOPPED, "the worker stopped before the program ended")
