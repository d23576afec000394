"""What the standard library does not offer of the operating system: Linux first, else skipped."""

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_OOM_SCORE = b"500"  # when memory runs out, a child goes before the broker does

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
    """When memory runs out, take this process first."""
    try:
        Path("/proc/self/oom_score_adj").write_bytes(_OOM_SCORE)
    except OSError:
        return


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


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
