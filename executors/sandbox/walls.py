"""The walls of a process, one after the other: what is closed once is never opened again."""

import math
import os
import resource
import select
import signal
import struct
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from executors.sandbox import files, kernel, landlock, seccomp

NOBODY = 65534  # the user that a program is, if the worker is root
SCRATCH = 64 * 1024**2  # bytes of the scratch folder, which are memory, but no more than
SCRATCH_SHARE = 8  # … a part in so many of what a job may use
FILES = 256  # open at once
THREADS = 32  # and as many more for each core
ADDRESSES = 4 * 1024**3  # bytes of address space beside what may be used: stacks, reserves
LATE = 60  # s of processor time by which the parent comes first

_PID = struct.Struct("q")
_KEPT = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")


@dataclass(frozen=True, slots=True)
class Walls:
    """How a process is to be closed in."""

    visible: files.Visible
    memory: int  # bytes that it may use

    @property
    def scratch(self) -> int:
        """Bytes of its scratch folder."""
        return min(SCRATCH, self.memory // SCRATCH_SHARE)


def fork_apart() -> int:
    """Fork a process that is the first of its own pid namespace: its pid, or 0 in itself.

    It is a child of this process, which must adopt orphans. Raises `OSError`.
    """
    reader, writer = os.pipe()
    middle = os.fork()
    if middle == 0:
        _fork_inside(writer)
        return 0
    os.close(writer)
    told = os.read(reader, _PID.size)
    os.close(reader)
    os.waitpid(middle, 0)
    if len(told) < _PID.size:
        raise OSError("no process could be made in a namespace of its own")
    return int(_PID.unpack(told)[0])


def _fork_inside(writer: int) -> None:
    """Go on as the first process of a namespace; the one that has made it ends here."""
    pid = -1
    try:
        _leave_pids()
        pid = os.fork()
        if pid:
            os.write(writer, _PID.pack(pid))
    except BaseException as error:  # noqa: BLE001  nothing of it may go on as if it were the parent
        sys.stderr.write(f"qjb-forkserver: no namespace for a program: {error}\n")
    if pid:
        os._exit(0)


def _leave_pids() -> None:
    """A new pid namespace for children: as root, or as whoever one is in a new user namespace."""
    try:
        kernel.unshare(kernel.NEW_PIDS)
    except PermissionError:
        user, group = os.geteuid(), os.getegid()
        kernel.unshare(kernel.NEW_USER | kernel.NEW_PIDS)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{NOBODY} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{NOBODY} {group} 1")


def close_in(walls: Walls) -> None:
    """Raise all walls around this process, which `fork_apart` has made. Raises `OSError`."""
    is_root, taken = os.geteuid() == 0, _addresses()
    kernel.unshare(kernel.NEW_FILES | kernel.NEW_HOSTNAME | kernel.NEW_IPC | kernel.NEW_NETWORK)
    kernel.set_hostname("sandbox")
    files.enter_root(walls.visible, walls.scratch, NOBODY if is_root else None)
    if is_root:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        kernel.unshare(kernel.NEW_USER)
    kernel.gain_no_privileges()
    kernel.drop_capabilities()
    _limit(walls, taken)
    _forget_surroundings()
    landlock.restrict(walls.visible.folders, files.DEVICES, (files.SCRATCH,))
    seccomp.install(os.getpid())


def _addresses() -> int:
    """The bytes of address space that this process has taken."""
    pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    return pages * resource.getpagesize()


def _limit(walls: Walls, taken: int) -> None:
    limits = {
        resource.RLIMIT_AS: taken + walls.memory + ADDRESSES,
        resource.RLIMIT_NOFILE: FILES,
        resource.RLIMIT_FSIZE: walls.scratch,
        resource.RLIMIT_NPROC: THREADS * (1 + (os.cpu_count() or 1)),
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    for kind, most in limits.items():
        resource.setrlimit(kind, (most, most))


def limit_cpu(seconds: float) -> None:
    """End this process once all its cores have worked for so long, if its parent has not."""
    most = math.ceil(seconds * (os.cpu_count() or 1)) + LATE
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))


def _forget_surroundings() -> None:
    """Variables, arguments and places of the worker: none of them is there any more."""
    kept = {name: value for name in _KEPT if (value := os.environ.get(name))}
    os.environ.clear()
    os.environ.update(kept, HOME=str(files.SCRATCH), TMPDIR=str(files.SCRATCH))
    tempfile.tempdir = None
    sys.argv[:] = ["program"]


def die_with_parent(lifeline: int) -> None:
    """Be killed when the parent dies, which holds the other end of *lifeline*; end if it is dead.

    In a pid namespace of its own a process can not ask who its parent is.
    """
    kernel.die_with_parent(signal.SIGKILL)
    poll = select.poll()
    poll.register(lifeline, 0)
    if poll.poll(0):
        os._exit(0)
    os.close(lifeline)
