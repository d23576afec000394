"""What the standard library does not offer of the operating system: Linux first, else skipped."""

import ctypes
import fcntl
import os
import resource
import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PAGE = resource.getpagesize()
_OOM_SCORE = 500  # more than the parent has; in thousandths of all memory
_OOM_MOST = 1000

_CRASHES = frozenset(
    {
        signal.SIGSEGV,
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGILL,
        signal.SIGFPE,
        signal.SIGSYS,
        signal.SIGTRAP,
    }
)

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Be killed when process *parent* dies; end at once if it has died already."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def outlive_parent() -> None:
    """Be killed no more when the parent dies."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)


ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # by which the service is asked to end


def leave_ends_to_parent() -> None:
    """Take no heed of `ENDS`: the parent gets them, too, and knows who may finish.

    A handler rather than `SIG_IGN`, which the processes of a program would inherit.
    """
    for number in ENDS:
        signal.signal(number, _pass)
        signal.siginterrupt(number, False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)


def _pass(number: int, frame: FrameType | None) -> None:
    """Nothing is done here."""


def leave_terminal() -> None:
    """Have no controlling terminal, nor what is forked from here; the session stays what it is."""
    with suppress(OSError):  # there is none
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        try:
            fcntl.ioctl(terminal, termios.TIOCNOTTY)
        finally:
            os.close(terminal)


@contextmanager
def ends_blocked() -> Iterator[None]:
    """Let what is started meanwhile begin with `ENDS` blocked, until it can tell what to do."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def adopt_orphans() -> None:
    """Become the parent of whatever descendants lose theirs, so that none can hide."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Children:
    """The processes whose parent this one is. Also where no descriptors are left: it holds one."""

    def __init__(self) -> None:
        self._own = os.getpid()
        try:
            self._fd = os.open(f"/proc/{self._own}/task/{self._own}/children", os.O_RDONLY)
        except OSError:  # a kernel without that file
            self._fd = -1

    def pids(self) -> list[int]:
        """All of them, dead ones that nobody has waited for included."""
        if self._fd < 0:
            return [pid for pid in _processes() if _parent_of(pid) == self._own]
        data = b""
        while more := os.pread(self._fd, _PAGE, len(data)):
            data += more
        return [int(pid) for pid in data.split()]


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def _parent_of(pid: int) -> int | None:
    return int(stat[1]) if (stat := _stat(pid)) else None


def lives(pid: int) -> bool:
    """Whether process *pid* is sure to be neither dead nor a zombie."""
    return bool(stat := _stat(pid)) and stat[0] not in ("Z", "X")


def _stat(pid: int) -> list[str]:
    """What the kernel tells of a process, from its state on; nothing where it does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def set_name(name: str) -> None:
    """The name that `ps` and `top` show."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def flush_c_streams() -> None:
    """Write out what C code has printed and libc still holds."""
    _libc.fflush(None)


def no_core_dumps() -> None:
    """A crash leaves no file behind."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def prefer_for_oom_kill() -> None:
    """When memory runs out, take this process before its parent."""
    file = Path("/proc/self/oom_score_adj")
    try:
        file.write_text(str(min(int(file.read_text()) + _OOM_SCORE, _OOM_MOST)))
    except OSError:
        return


def resident(pid: int) -> int | None:
    """The bytes that process *pid* holds in memory; None where nobody can tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError):
        return None


def limit_memory(more: int) -> int:
    """Let this process allocate *more* bytes than it has, or fewer if its limits say so; how many."""
    if sys.platform != "linux":
        return more
    size, _, _, _, _, data, _ = map(int, Path("/proc/self/statm").read_text().split())
    for kind, pages in ((resource.RLIMIT_AS, size), (resource.RLIMIT_DATA, data)):
        soft, hard = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            more = max(0, min(more, soft - pages * _PAGE))
        if kind == resource.RLIMIT_DATA:
            resource.setrlimit(kind, (pages * _PAGE + more, hard))
    return more


def lift_memory_limit() -> None:
    """So that what went wrong can be told."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


@contextmanager
def memory_unlimited() -> Iterator[None]:
    """For what crashes if an allocation fails: the parent alone watches how much is really held."""
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    lift_memory_limit()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)


def has_children() -> bool:
    """Whether a process that this one has started still runs."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return False
    return True


def peak_memory() -> int:
    """The most memory that this process ever held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def describe_end(status: int) -> str:
    """How a process ended, from its wait status: `killed by SIGKILL`, `exited with status 3`."""
    if os.WIFSIGNALED(status):
        return f"killed by {_signal_name(os.WTERMSIG(status))}"
    return f"exited with status {os.waitstatus_to_exitcode(status)}"


def is_crash(status: int) -> bool:
    """Whether a process ended by what it did itself, from its wait status."""
    return not os.WIFSIGNALED(status) or os.WTERMSIG(status) in _CRASHES


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
