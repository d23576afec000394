"""The parent's end of one child: gives it a task, hears what it says, ends it."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from typing import Protocol

from executors.children import posix
from executors.children.frames import ChildKind, End, Frame, Kind, TaskHeader, pack, task_frame
from executors.children.launcher import ForkServer
from executors.children.wire import Wire

DYING = 0.1  # s from the end of its connection until a child has to be dead by itself
OUTPUT_CHUNK = 64 * 1024  # bytes


class Listener(Protocol):
    """Who follows the attempt that a child runs."""

    def on_frame(self, kind: Kind, payload: bytes) -> None:
        """The child said something about this attempt."""

    def on_nonsense(self, why: str) -> None:
        """The child said what nobody understands, or will say nothing any more."""

    def on_output(self, data: bytes) -> None:
        """The program wrote to standard output or error."""

    def on_gone(self, end: End) -> None:
        """The child is dead; all that it said and wrote has been passed on."""


class Child:
    """One child process, from the moment that it is asked for until it has been reaped."""

    def __init__(
        self,
        server: ForkServer,
        kind: ChildKind,
        on_made: Callable[[], None],
        on_gone: Callable[["Child"], None],
    ) -> None:
        self._server = server
        self._on_made = on_made
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._listener: Listener | None = None
        self._killer: asyncio.TimerHandle | None = None
        self._attempt = 0  # the newest that it was given
        self._is_doomed = False  # to be killed as soon as it has a pid
        self.pid: int | None = None
        self.was_made = False  # into a process
        self._resident = 0  # bytes that it held when it was new
        self.is_alive = True  # as far as is known, and nobody has begun to end it
        self.is_fresh = self.retires = kind is ChildKind.FRESH
        self.settled = asyncio.Event()  # whether it became a process
        self._pipe, pipe = os.pipe()
        try:
            ours, theirs = socket.socketpair()
        except OSError:
            os.close(self._pipe)
            os.close(pipe)
            raise
        os.set_blocking(self._pipe, False)
        self._wire = Wire(ours, self._on_frame, self._on_hang_up)
        self._loop.add_reader(self._pipe, self._read_output)
        try:
            server.fork(kind, self, theirs, pipe)
        except OSError:
            self._let_go()
            raise
        finally:
            theirs.close()
            os.close(pipe)

    def give(self, header: TaskHeader, inputs: bytes, listener: Listener) -> None:
        """Run a task; *listener* hears what comes of it."""
        if not self._attempt:  # later ones find nothing: what might write on is given no more tasks
            self.read_output()  # of its beginning, which is nobody's
        self._attempt += 1
        self._listener = listener
        self._wire.send(task_frame(header, inputs, self._attempt))

    def answer(self, payload: bytes) -> None:
        """Tell it what came of a call."""
        self._wire.send(pack(Kind.ANSWER, payload, self._attempt))

    def leave(self) -> None:
        """Hear no more of it."""
        self._listener = None
        self._wire.resume()

    def pause(self) -> None:
        """Let the child wait with what it says."""
        self._wire.pause()

    def resume(self) -> None:
        """Hear the child again."""
        self._wire.resume()

    def read_output(self) -> None:
        """Pass on now what the program has written so far."""
        while self._read_output():
            pass

    @property
    def memory(self) -> int:
        """The bytes that it has taken since it was new, as far as is known."""
        held = posix.resident(self.pid) if self.pid is not None else None
        return max(0, (held or 0) - self._resident)

    def kill(self) -> None:
        """End it at once, with whatever it has started.

        Its pid is safe to use: the fork server keeps it taken until we ask to reap it.
        """
        self.is_alive = False
        if self.pid is None:
            self._is_doomed = True
            return
        for send in (os.killpg, os.kill):  # it may not have a group of its own yet
            with contextlib.suppress(ProcessLookupError):
                send(self.pid, signal.SIGKILL)

    def on_forked(self, pid: int) -> None:
        """It is process *pid*."""
        self.pid, self.was_made = pid, True
        self.settled.set()
        self._resident = posix.resident(pid) or 0
        if self._is_doomed:
            self.kill()
        self._on_made()

    def on_ended(self, end: End) -> None:
        """It is dead: pass on the last of it, and let go."""
        self.settled.set()
        self.is_alive = False
        pid, self.pid = self.pid, None
        if self._killer is not None:
            self._killer.cancel()
        self._wire.drain()
        self.read_output()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.on_gone(end)
        self._let_go()
        if pid is not None:
            self._server.reap(pid)
        self._on_gone(self)

    def _let_go(self) -> None:
        self._wire.close()
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)

    def _on_frame(self, frame: Frame) -> None:
        if frame.attempt != self._attempt:
            return  # by what an earlier attempt left behind
        if frame.kind is Kind.RETIRES:
            self.retires = True
        elif self._listener is not None:
            self._listener.on_frame(frame.kind, frame.payload)

    def _on_hang_up(self, why: str | None) -> None:
        """It closed its connection or talks nonsense: dying, or of no more use."""
        self.is_alive = False
        if why is not None:
            self._give_up(why)
        else:
            self._killer = self._loop.call_later(DYING, self._end_mute)

    def _end_mute(self) -> None:
        if self.pid is not None and posix.lives(self.pid):
            self._give_up("it was closed")
        else:
            self.kill()  # how it died is told soon

    def _give_up(self, why: str) -> None:
        if self._listener is not None:
            self._listener.on_nonsense(why)
        self.kill()

    def _read_output(self) -> bool:
        """Take what is there; whether there may be more."""
        try:
            data = os.read(self._pipe, OUTPUT_CHUNK)
        except (BlockingIOError, InterruptedError):
            return False
        if not data:
            self._loop.remove_reader(self._pipe)
            return False
        if self._listener is not None:
            self._listener.on_output(data)
        return len(data) == OUTPUT_CHUNK
