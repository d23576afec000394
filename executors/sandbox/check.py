"""Tries on this host what the sandbox promises: `python -m executors.sandbox.check` says it as JSON.

A process of its own is needed: one that has no threads, and that nobody minds.
"""

import ctypes
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from executors.sandbox import files, kernel, landlock
from executors.sandbox.levels import LANDLOCK, NAMESPACES, SECCOMP, Found, probe
from executors.sandbox.walls import Walls
from schemas.values import Sandbox

MEMORY = 256 * 1024**2  # bytes, as if a job had so many
_FAMILIES = range(1, 46)  # of sockets
_KEPT = {"LANG", "LC_ALL", "LC_CTYPE", "TZ", "HOME", "TMPDIR"}
_PTRACE_SEIZE = 0x4206


class Wall(msgspec.Struct, frozen=True):
    """One kind of wall, and why it does not hold here, if so."""

    name: str
    missing: str = ""


class Promise(msgspec.Struct, frozen=True):
    """What a program can not do, and how it could, if so."""

    text: str
    broken: str = ""


class Report(msgspec.Struct, frozen=True):
    """What the sandbox is here."""

    level: Sandbox
    landlock_abi: int
    walls: list[Wall]
    promises: list[Promise]


def check() -> Report:
    """Try it all."""
    visible = files.visible()
    found = probe(visible)
    walls = [Wall(name, found.missing.get(name, "")) for name in (NAMESPACES, LANDLOCK, SECCOMP)]
    is_off = found.level is Sandbox.OFF  # nothing is promised, and trying would leave traces
    promises = [] if is_off else _promises(found, found.walls(visible, MEMORY))
    return Report(found.level, landlock.abi(), walls, promises)


def _promises(found: Found, walls: Walls) -> list[Promise]:
    """What holds behind *walls*, tried in a process that they are raised around."""
    reader, writer = os.pipe()
    pid = walls.fork()
    if pid == 0:
        _try_inside(walls, writer)
    os.close(writer)
    with open(reader, "rb") as file:  # noqa: PTH123  it is no path
        said = file.read()
    os.waitpid(pid, 0)
    if not said:
        return [Promise("a process is shut in", f"it ended at once; {found.why}")]
    return msgspec.json.decode(said, type=list[Promise])


def _try_inside(walls: Walls, writer: int) -> None:
    try:
        walls.close_in()
        found = [Promise(text, _how(attempt)) for text, attempt in _ATTEMPTS.items()]
        os.write(writer, msgspec.json.encode(found))
    finally:
        os._exit(0)


def _how(attempt: Callable[[], object]) -> str:
    """What *attempt* gets; nothing if it is refused, or finds nothing."""
    try:
        got = attempt()
    except (OSError, MemoryError):
        return ""
    return f"got {got!r}"[:200] if got else ""


def _open_files() -> list[str]:
    """Files of the host that can be opened."""
    paths = ("/etc/passwd", "/etc/shadow", "/proc/1/environ", "/proc/self/mem", "/dev/mem")
    return [path for path in paths if _works(os.open, path, os.O_RDONLY)]


def _attributes() -> list[str]:
    """Files of the host whose times can be set."""
    return [path for path in (sys.executable, os.__file__, "/etc") if _works(os.utime, path)]


def _writable() -> list[str]:
    places = ("/", "/tmp", "/var/tmp", "/dev/shm", "/run", sys.prefix, "/usr/lib")  # noqa: S108
    outside = [place for place in places if not Path(place).resolve().is_relative_to(files.SCRATCH)]
    return [place for place in outside if _works(Path(place, ".qjb-sandbox-check").touch)]


def _fill_scratch() -> str:
    """More than the scratch folder may hold."""
    for number in range(8):
        Path(f"fill{number}").write_bytes(bytes(MEMORY // 32))
    return "room for more than it may hold"


def _sockets() -> list[int]:
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW)
    return [
        f for f in _FAMILIES if any(_works(lambda f=f, k=k: socket.socket(f, k)) for k in kinds)
    ]


def _processes() -> str:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return "a process"


def _trace() -> str:
    result = ctypes.CDLL(None, use_errno=True).ptrace(_PTRACE_SEIZE, os.getppid() or 1, 0, 0)
    return "" if result < 0 else "a process to trace"


def _execute() -> None:
    os.execv(sys.executable, ["python", "--version"])  # noqa: S606


def _signal() -> str:
    os.kill(-1, 0)
    return "others to signal"


def _namespace() -> str:
    kernel.unshare(kernel.NEW_USER)
    return "a namespace"


def _privileges() -> str:
    os.setresuid(0, 0, 0)
    return "to be root"


def _unlimited() -> list[str]:
    """Limits that are none."""
    names = ("AS", "NOFILE", "FSIZE", "NPROC", "CORE", "MEMLOCK")
    kinds = {name: int(getattr(resource, f"RLIMIT_{name}")) for name in names}
    return [n for n, k in kinds.items() if resource.getrlimit(k)[1] == resource.RLIM_INFINITY]


def _works(attempt: Callable[..., object], *arguments: object) -> bool:
    try:
        attempt(*arguments)
    except OSError:
        return False
    return True


_ATTEMPTS: dict[str, Callable[[], object]] = {
    "files of the host can not be read": _open_files,
    "files of the host can not be changed": _attributes,
    "nothing but the scratch folder can be written": _writable,
    "the scratch folder holds no more than it may": _fill_scratch,
    "there are no sockets of any family": _sockets,
    "no process can be started": _processes,
    "no other program can be executed": _execute,
    "no signal reaches others": _signal,
    "no process can be traced": _trace,
    "no namespace can be made": _namespace,
    "no privileges can be gained": _privileges,
    "the worker's variables are not there": lambda: sorted(set(os.environ) - _KEPT),
    "memory, files and threads are limited": _unlimited,
}


def main() -> None:
    """Say it."""
    kernel.adopt_orphans()
    sys.stdout.write(msgspec.json.encode(check()).decode())


if __name__ == "__main__":
    main()
