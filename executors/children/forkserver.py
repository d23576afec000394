"""The fork server: a process that has imported all that programs need, and forks on request.

`python -m executors.children.forkserver FD PARENT PROGRAMS MEMORY GPU`, where FD is its end of a
stream socket pair, PARENT a pid, PROGRAMS a JSON object of more programs, id to `module:function`,
MEMORY how many bytes each child may use, and GPU a `Gpu` as JSON that they simulate on, or `null`.
It reads requests of five bytes, a `ChildKind` and a ticket, with two file descriptors (the child's
socket and the pipe for its output), or `R` and a pid; and it writes frames. It starts before its parent
holds secrets, never runs a circuit, and has one thread, so that forking it is safe. When it ends,
so do its children, with what their programs have started; it ends with its parent.
"""

import contextlib
import fcntl
import gc
import os
import random
import select
import signal
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import msgspec

from executors import gpu, memory
from executors.children import posix
from executors.children.frames import ChildKind, End, Ended, Forked, Kind, Ready, pack
from executors.sandbox import files, levels
from executors.sandbox.walls import Walls

REQUEST = struct.Struct("!cI")
REAP = b"R"

NICE = 10  # so that who serves is served first, however many processors a program wants
AGAIN_AFTER = 500  # ms until a fork that failed is tried again

_MOST_DESCRIPTORS = 1 << 20  # closed with one system call, however many there are


def main() -> None:
    """Get ready, say so, and serve until the parent is gone."""
    posix.leave_ends_to_parent()
    posix.leave_terminal()
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    posix.die_with_parent(int(sys.argv[2]))  # while it gets ready
    posix.set_name("qjb-forkserver")
    posix.adopt_orphans()
    posix.no_core_dumps()
    memory.allow(int(sys.argv[4]))
    gpu.use(msgspec.json.decode(sys.argv[5], type=gpu.Gpu | None))
    wakeup = _wake_on_child()
    server = Server(control, wakeup)
    try:
        with contextlib.suppress(ConnectionError):  # nobody is left to answer
            found = levels.probe(visible := files.visible())  # while there is little to fork
            server.walls = found.walls(visible, int(sys.argv[4]))
            _preload(control, found, msgspec.json.decode(sys.argv[3], type=dict[str, str]))
            gc.collect()
            gc.freeze()  # the collector touches no page that children share
            posix.outlive_parent()  # and take along what programs have started
            server.serve()
    finally:
        server.kill_all()


def _wake_on_child() -> int:
    """A descriptor that can be read when a child has ended."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.set_blocking(reader, False)
    signal.signal(signal.SIGCHLD, _noticed)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def _noticed(number: int, frame: FrameType | None) -> None:
    """The wake-up descriptor says it all."""


def _preload(control: socket.socket, found: levels.Found, programs: dict[str, str]) -> None:
    """Import what programs need, and build what is costly to build.

    The parent hears what there is before all is done: what it asks for then waits a little.
    """
    from executors.children import child

    ready = Ready(list(child.describe()), found.level, found.why)
    control.sendall(pack(Kind.READY, msgspec.json.encode(ready)))
    child.preload(programs)


def _lifeline() -> tuple[int, int]:
    """A descriptor that can be read once this process is dead, and the one that has to be open.

    Neither is 3, which becomes the connection of a child.
    """
    reader, writer = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 4) for fd in os.pipe())
    return reader, writer


class Server:
    """Forks, tells who ended, and reaps when told to."""

    def __init__(self, control: socket.socket, wakeup: int) -> None:
        self._control = control
        self._wakeup = wakeup
        self._all = posix.Children()
        self._children: set[int] = set()
        self._zombies: set[int] = set()
        self._asked: deque[tuple[ChildKind, int, int, int]] = deque()  # with ticket, socket, pipe
        self._lifeline, self._life = _lifeline()
        self.walls: Walls | None = None
        self._is_short = False  # of processes or memory, which has been told

    def serve(self) -> None:
        """Answer requests until the parent is gone."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll(AGAIN_AFTER if self._asked else None)}
            if self._wakeup in ready:
                self._tell_who_ended()
            if self._control.fileno() in ready and not self._answer():
                return
            self._fork_all()

    def kill_all(self) -> None:
        """End every child, and all that they started, wherever it hides."""
        for pid in self._children:
            _kill(pid)
        with contextlib.suppress(ChildProcessError):  # none is left
            while True:
                for pid in self._all.pids():
                    _kill(pid)
                os.waitpid(-1, 0)

    def _kill_orphans(self) -> None:
        """End what a child that is dead has left behind: it has become a child of this process."""
        for pid in set(self._all.pids()) - self._children - self._zombies:
            _kill(pid)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    def _answer(self) -> bool:
        """Take one request; False if there will be no more."""
        data, fds, _, _ = socket.recv_fds(self._control, REQUEST.size, 2)
        while data and len(data) < REQUEST.size:
            data += self._control.recv(REQUEST.size - len(data))
        if not data:
            return False
        kind, number = REQUEST.unpack(data)
        if kind == REAP:
            self._reap(number)
        elif len(fds) == 2:
            self._asked.append((ChildKind(kind), number, *fds))
        else:  # there was no room for both descriptors
            for fd in fds:
                os.close(fd)
            self._tell_forked(number, None)
        return True

    def _fork_all(self) -> None:
        """Make the children that were asked for; where there are too many processes, later."""
        server = os.getpid()
        while self._asked:
            kind, ticket, sock, pipe = self._asked[0]
            try:
                pid = os.fork() if kind is ChildKind.WARM else self._walls().fork()
            except OSError as error:
                self._tell_shortage(error)
                return
            if pid == 0 and kind is ChildKind.WARM:
                _become_child(sock, pipe, None, lambda sock: _serve_warm(sock, server))
            elif pid == 0:
                _become_child(sock, pipe, self._lifeline, self._serve_fresh)
            self._is_short = False
            self._asked.popleft()
            os.close(sock)
            os.close(pipe)
            self._children.add(pid)
            self._tell_forked(ticket, pid)

    def _serve_fresh(self, connection: socket.socket) -> None:
        from executors.children import child

        posix.set_name("qjb-sandbox")
        child.serve_one(connection, self._walls(), self._lifeline)

    def _walls(self) -> Walls:
        assert self.walls is not None, "no child before it is known what holds"
        return self.walls

    def _tell_forked(self, ticket: int, pid: int | None) -> None:
        self._control.sendall(pack(Kind.FORKED, msgspec.json.encode(Forked(ticket, pid))))

    def _tell_shortage(self, error: OSError) -> None:
        if not self._is_short:
            self._is_short = True
            with contextlib.suppress(OSError):
                sys.stderr.write(f"qjb-forkserver: no child can be made now: {error}\n")

    def _tell_who_ended(self) -> None:
        try:
            os.read(self._wakeup, 4096)
        except BlockingIOError:
            return
        for pid in list(self._children):
            end = _end_of(pid)
            if end is None:
                continue
            self._children.discard(pid)
            self._zombies.add(pid)
            _kill(pid)
            self._control.sendall(pack(Kind.ENDED, msgspec.json.encode(Ended(pid, end))))
        self._kill_orphans()

    def _reap(self, pid: int) -> None:
        if pid not in self._zombies:
            return
        self._zombies.discard(pid)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _kill(pid: int) -> None:
    """End child *pid* with whatever it has started, or only that if it is dead itself."""
    for send in (os.killpg, os.kill):  # it may not have a group of its own yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            send(pid, signal.SIGKILL)


def _end_of(pid: int) -> End | None:
    """How child *pid* ended, None if it lives. It stays a zombie, so that its pid stays taken."""
    if sys.platform == "darwin":  # has no waitid before Python 3.13: reaped at once
        done, status = os.waitpid(pid, os.WNOHANG)
        return _end(status) if done else None
    seen = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if seen is None:
        return None
    if seen.si_code == os.CLD_EXITED:
        return _end(seen.si_status << 8)
    return _end(seen.si_status & 0x7F)


def _end(status: int) -> End:
    return End(posix.describe_end(status), posix.is_crash(status))


def _become_child(
    sock: int, pipe: int, lifeline: int | None, serve: Callable[[socket.socket], None]
) -> NoReturn:
    """Leave everything of the server behind but its memory, and serve; never returns."""
    status = 1
    try:
        if lifeline is None:  # trusted: in the service's share of the processors
            os.setpgid(0, 0)
        else:  # in one of its own, so that many threads of a stranger get no more than one
            os.setsid()
        os.nice(NICE)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        posix.set_name("qjb-child")
        posix.prefer_for_oom_kill()
        connection = _keep_only(sock, pipe, lifeline)
        random.seed()
        serve(connection)
        status = 0
    except BaseException:  # noqa: BLE001  the last frame of a process: told to its log
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _serve_warm(connection: socket.socket, server: int) -> None:
    from executors.children import child

    posix.die_with_parent(server)
    posix.adopt_orphans()
    child.serve(connection)


def _keep_only(sock: int, pipe: int, lifeline: int | None) -> socket.socket:
    """Close every descriptor but *sock*, which becomes 3, *pipe*, which takes the output, and
    *lifeline*, if that is one.
    """
    os.dup2(pipe, 1)
    os.dup2(pipe, 2)
    if sock != 3:
        os.dup2(sock, 3, inheritable=False)
    end = _MOST_DESCRIPTORS if lifeline is None else lifeline
    os.closerange(4, end)  # first, so that there is room for one more
    os.closerange(end + 1, _MOST_DESCRIPTORS)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return socket.socket(fileno=3)


if __name__ == "__main__":
    main()
