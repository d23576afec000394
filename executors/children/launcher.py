"""The parent's side of the fork server: starts it, asks it to fork, hears who ended."""

import asyncio
import contextlib
import errno
import os
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
import structlog

from executors.children import posix
from executors.children.forkserver import REAP, REQUEST
from executors.children.frames import ChildKind, End, Ended, Forked, Frame, Kind, Ready
from executors.children.wire import Wire
from executors.gpu import Gpu

READY_WITHIN = 120.0  # s: importing Qiskit from a cold disk takes several
GONE_WITHIN = 5.0  # s
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_KEPT_OF = ("GLIBC_", "OMP_", "RAYON_", "QISKIT_AER_")  # libraries
_ENDED_WITH_SERVER = End("ended with its fork server")
_NOT_MADE = End("could not be made")
_SHORTAGES = frozenset({errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM, errno.EMFILE})

logger = structlog.get_logger()


class ForkServerError(Exception):
    """The fork server did not start."""


class Forkling(Protocol):
    """Who wants to know about one forked process."""

    def on_forked(self, pid: int) -> None:
        """It is process *pid*."""

    def on_ended(self, end: End) -> None:
        """It is dead, and said all that it will say."""


class ForkServer:
    """A running fork server, with *programs* (id to `module:function`) beside the built-in ones.

    Each of its children may use *memory* bytes, and *gpu*.
    Calls *on_lost* if it ends without having been closed.
    """

    def __init__(
        self,
        programs: Mapping[str, str],
        memory: int,
        on_lost: Callable[[], None],
        gpu: Gpu | None = None,
    ) -> None:
        self._programs = programs
        self._memory, self._gpu = memory, gpu
        self._on_lost = on_lost
        self._process: asyncio.subprocess.Process | None = None
        self._wire: Wire | None = None
        self._ready: asyncio.Future[bytes] | None = None
        self._asked: dict[int, Forkling] = {}
        self._children: dict[int, Forkling] = {}
        self._tickets = 0
        self.pid = 0

    async def start(self) -> Ready:
        """Start it; what its children offer. Raises `ForkServerError`."""
        ours, theirs = socket.socketpair()
        self._ready = asyncio.get_running_loop().create_future()
        self._wire = Wire(ours, self._on_frame, self._on_end)
        with theirs, posix.ends_blocked():
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "executors.children.forkserver"),
                *(str(theirs.fileno()), str(os.getpid())),
                *(msgspec.json.encode(self._programs).decode(), str(self._memory)),
                msgspec.json.encode(self._gpu).decode(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment() | _of_cuda(self._gpu),
                cwd="/",
                process_group=0,  # in our session: Linux shares processors between sessions first
            )
        self.pid = self._process.pid
        try:
            async with asyncio.timeout(READY_WITHIN):
                announced = await self._ready
        except (TimeoutError, ConnectionError) as error:
            await self.close()
            raise ForkServerError("the fork server did not start: see its messages") from error
        return msgspec.json.decode(announced, type=Ready)

    def fork(self, kind: ChildKind, forkling: Forkling, sock: socket.socket, pipe: int) -> None:
        """Ask for a child of that *kind* with *sock* as its connection and *pipe* as its output.

        Raises `OSError` where the system lets no descriptors be passed now.
        """
        assert self._wire is not None
        assert self._process is not None
        self._tickets += 1
        request = REQUEST.pack(kind.value, self._tickets)
        self._asked[self._tickets] = forkling
        try:
            self._wire.send_descriptors(request, [sock.fileno(), pipe])
        except OSError as error:
            if error.errno in _SHORTAGES:
                del self._asked[self._tickets]
                raise
            # It is gone or stuck: in both cases the next one will serve.
            logger.error("forkserver.unreachable", pid=self.pid, error=str(error))
            self._kill()

    def reap(self, pid: int) -> None:
        """Let go of the pid of a child that has ended: nobody will signal it any more."""
        if self._wire is not None:
            self._wire.send(REQUEST.pack(REAP, pid))

    async def close(self) -> None:
        """End it and all its children."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()
        if self._process is not None:
            if not self._children:  # it has nothing to end, and may be about to load much
                self._kill()
            try:
                async with asyncio.timeout(GONE_WITHIN):
                    await self._process.wait()
            except TimeoutError:
                self._kill()
                await self._process.wait()
        self._end_all()

    def _kill(self) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _on_frame(self, frame: Frame) -> None:
        payload = frame.payload
        match frame.kind:
            case Kind.READY:
                assert self._ready is not None
                if not self._ready.done():  # whoever waited may have left just now
                    self._ready.set_result(payload)
            case Kind.FORKED:
                forked = msgspec.json.decode(payload, type=Forked)
                forkling = self._asked.pop(forked.ticket)
                if forked.pid is None:
                    forkling.on_ended(_NOT_MADE)
                    return
                self._children[forked.pid] = forkling
                forkling.on_forked(forked.pid)
            case Kind.ENDED:
                ended = msgspec.json.decode(payload, type=Ended)
                self._children.pop(ended.pid).on_ended(ended.end)
            case _:
                logger.error("forkserver.nonsense", pid=self.pid, kind=frame.kind)
                self._kill()

    def _on_end(self, why: str | None) -> None:
        """The server is gone, and its children with it: the kernel kills them."""
        assert self._ready is not None
        if self._ready.cancelled():  # it is about to be closed
            return
        if not self._ready.done():
            self._ready.set_exception(ConnectionError("hung up"))
            return
        logger.error("forkserver.lost", pid=self.pid, why=why)
        self._on_lost()
        self._end_all()

    def _end_all(self) -> None:
        orphans = [*self._asked.values(), *self._children.values()]
        self._asked.clear()
        self._children.clear()
        for forkling in orphans:
            forkling.on_ended(_ENDED_WITH_SERVER)


def environment() -> dict[str, str]:
    """What a child process needs and no more: above all none of our settings, which hold secrets."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.startswith(_KEPT_OF)
    }
    defaults = {
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # states in huge pages: taken, let go sooner
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait leave the core to the next child
        "OPENBLAS_NUM_THREADS": "1",  # no threads at import: the server must have one only
        "QISKIT_PARALLEL": "FALSE",  # Qiskit would fork for each circuit of a list
    }
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**defaults, **kept, "PYTHONPATH": path}


def _of_cuda(gpu: Gpu | None) -> dict[str, str]:
    """What CUDA is told: which GPU there is, if any."""
    hidden = {"CUDA_VISIBLE_DEVICES": "-1"}  # what simulates on processors opens none
    return hidden if gpu is None else {**cuda(), "CUDA_VISIBLE_DEVICES": gpu.name}


def cuda() -> dict[str, str]:
    """The variables by which CUDA is set up."""
    return {name: value for name, value in os.environ.items() if name.startswith("CUDA_")}
