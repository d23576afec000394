"""Which walls hold on this host, found by raising each of them around a process that is thrown away."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from executors.sandbox import files, kernel, landlock, seccomp, walls
from executors.sandbox.files import Visible
from executors.sandbox.walls import Walls
from schemas.values import Sandbox

NAMESPACES, LANDLOCK, SECCOMP = "namespaces", "Landlock", "seccomp"
_MOST = 500  # characters of why something does not work
_PROBE_SCRATCH = 1024**2  # bytes


@dataclass(frozen=True, slots=True)
class Found:
    """What does not work here, by its name, and why; nothing if all does."""

    missing: dict[str, str]

    def __contains__(self, name: str) -> bool:
        return name not in self.missing

    @property
    def level(self) -> Sandbox:
        """The level that this makes."""
        if not self.missing:
            return Sandbox.FULL
        # Either of the other two keeps files away, and connections are refused by this one.
        has_two = SECCOMP in self and (NAMESPACES in self or LANDLOCK in self)
        return Sandbox.REDUCED if has_two else Sandbox.OFF

    def walls(self, visible: Visible, memory: int) -> Walls:
        """All that can be raised around a process that may use *memory* bytes."""
        return Walls(visible, memory, *(name in self for name in (NAMESPACES, LANDLOCK, SECCOMP)))

    @property
    def why(self) -> str:
        """What is missing, for people."""
        return "; ".join(f"{name}: {reason}" for name, reason in self.missing.items())


def probe(visible: Visible) -> Found:
    """Try each kind of wall; the process must be single-threaded, and adopt orphans."""
    if sys.platform != "linux":
        return Found(dict.fromkeys((NAMESPACES, LANDLOCK, SECCOMP), "needs Linux"))
    tries = {
        NAMESPACES: _tried(walls.fork_apart, lambda: walls.leave(visible, _PROBE_SCRATCH)),
        LANDLOCK: _tried(os.fork, lambda: _try_landlock(visible)),
        SECCOMP: _tried(os.fork, _try_seccomp),
    }
    return Found({name: why for name, why in tries.items() if why is not None})


def _try_landlock(visible: Visible) -> None:
    kernel.gain_no_privileges()
    landlock.restrict(visible.folders, files.DEVICES, ())


def _try_seccomp() -> None:
    kernel.gain_no_privileges()
    seccomp.install(os.getpid(), has_own_files=False)


def _tried(fork: Callable[[], int], attempt: Callable[[], None]) -> str | None:
    """Why *attempt* fails in a process of its own; None if it does not."""
    reader, writer = os.pipe()
    try:
        pid = fork()
    except OSError as error:
        os.close(reader)
        os.close(writer)
        return str(error)
    if pid == 0:
        _report(attempt, writer)
    os.close(writer)
    with open(reader, "rb") as file:  # noqa: PTH123  it is no path
        said = file.read(_MOST).decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    if said:
        return said
    return None if status == 0 else f"the process ended with status {status}"


def _report(attempt: Callable[[], None], writer: int) -> None:
    status = 1
    try:
        attempt()
        status = 0
    except BaseException as error:  # noqa: BLE001  the process ends here
        os.write(writer, (str(error) or type(error).__name__).encode()[:_MOST])
    finally:
        os._exit(status)
