"""The walls of a process, one after the other: what is closed once is never opened again."""

import math
import os
import resource
import select
import signal
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

_MOST_SAID = 500  # bytes of why there is no namespace
_KEPT = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")


@dataclass(frozen=True, slots=True)
class Walls:
    """How a process is to be closed in: what holds on this host, and how much it may use."""

    visible: files.Visible
    memory: int  # bytes that it may use
    has_namespaces: bool
    has_landlock: bool
    has_seccomp: bool

    @property
    def scratch(self) -> int:
        """Bytes of its scratch folder."""
        return min(SCRATCH, self.memory // SCRATCH_SHARE)

    def fork(self) -> int:
        """Fork a process to be closed in: its pid, or 0 in itself. Raises `OSError`."""
        return fork_apart() if self.has_namespaces else os.fork()

    def close_in(self) -> None:
        """Raise all of them around this process, which `fork` has made. Raises `OSError`."""
        taken = _addresses()
        if self.has_namespaces:
            leave(self.visible, self.scratch)
        elif os.geteuid() == 0:
            _become_nobody_if(self.visible)
        if sys.platform == "linux":
            kernel.gain_no_privileges()
            kernel.drop_capabilities()
        _limit(self, taken)
        _forget_surroundings()
        if self.has_landlock:
            own = (files.SCRATCH,) if self.has_namespaces else ()
            landlock.restrict(self.visible.folders, files.DEVICES, own)
        if self.has_seccomp:
            seccomp.install(os.getpid(), self.has_namespaces)


def fork_apart() -> int:
    """Fork a process that is the first of its own pid namespace: its pid, or 0 in itself.

    It is a child of this process, which must adopt orphans. Raises `OSError`.
    """
    reader, writer = os.pipe()
    try:
        middle = os.fork()
    except OSError:  # it is tried again and again: nothing of a try may be left
        os.close(reader)
        os.close(writer)
        raise
    if middle == 0:
        _fork_inside(writer)
        return 0
    os.close(writer)
    said = os.read(reader, _MOST_SAID)
    os.close(reader)
    os.waitpid(middle, 0)
    if not said.isdigit():
        raise OSError(said.decode(errors="replace") or "no namespace could be made")
    return int(said)


def _fork_inside(writer: int) -> None:
    """Go on as the first process of a namespace; the one that has made it says its pid and ends."""
    pid = -1
    try:
        _leave_pids()
        pid = os.fork()
        if pid:
            os.write(writer, str(pid).encode())
    except BaseException as error:  # noqa: BLE001  nothing of it may go on as if it were the parent
        os.write(writer, str(error).encode()[:_MOST_SAID])
    if pid:
        os._exit(0)
    os.close(writer)


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


def leave(visible: files.Visible, scratch: int) -> None:
    """Leave the other namespaces, too, for ones with nothing in them but what is *visible*."""
    is_root = os.geteuid() == 0
    kernel.unshare(kernel.NEW_FILES | kernel.NEW_HOSTNAME | kernel.NEW_IPC | kernel.NEW_NETWORK)
    kernel.set_hostname("sandbox")
    files.enter_root(visible, scratch, NOBODY if is_root else None)
    if is_root:
        _become_nobody()
        kernel.unshare(kernel.NEW_USER)


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _become_nobody_if(visible: files.Visible) -> None:
    """… if that user can read what is *visible*; else root goes on without its privileges."""
    os.setresgid(NOBODY, -1, -1)
    os.setresuid(NOBODY, -1, -1)
    can = all(os.access(folder, os.R_OK | os.X_OK) for folder in visible.folders)
    os.setresuid(0, -1, -1)
    os.setresgid(0, -1, -1)
    if can:
        _become_nobody()


def _addresses() -> int:
    """The bytes of address space that this process has taken."""
    if sys.platform != "linux":
        return 0
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
        _, hard = resource.getrlimit(kind)
        kept = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (kept, kept))


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
    if sys.platform == "linux":
        kernel.die_with_parent(signal.SIGKILL)
    poll = select.poll()
    poll.register(lifeline, 0)
    if poll.poll(0):
        os._exit(0)
    os.close(lifeline)
