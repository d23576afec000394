"""On which backend? One that meets the requirements and would finish the job soonest."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from broker.core.requirements import Backend, Requirements


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a backend is: slots of the workers that offer it, free ones, jobs that wait."""

    slots: int
    free: int
    queued: int
    usual: float = 1.0  # s that an attempt takes there

    @property
    def wait(self) -> float:
        """How long a job would wait, in seconds; infinite where nobody serves the backend."""
        if not self.slots:
            return float("inf")
        return 0.0 if self.free > self.queued else (self.queued + 1) * self.usual / self.slots


class Found(NamedTuple):
    """A backend for a job, and why that one."""

    backend: str
    why: str


def route(
    backends: Iterable[Backend],
    needs: Requirements,
    load: Callable[[str], Load],
    takes: Callable[[str], float] = lambda backend: 1.0,
    opens: Callable[[str, float, float], float] = lambda backend, wait, run: wait,
) -> Found | None:
    """The best backend that meets *needs*, or None. *takes*: s that the job takes on each; *opens*:
    s until one that would wait and run so long may begin there, as others may have reserved it.

    One that somebody serves, simulators before devices, ideal ones before noisy ones (nobody should
    get noise without asking), and then the one that would finish the job soonest; of equals the one
    that errs least, and that was calibrated last.
    """
    suitable = sorted(filter(needs.met_by, backends), key=_by_kind)
    if not suitable:
        return None
    if len(suitable) == 1:
        return Found(suitable[0].name, "no other backend meets the requirements")
    for _, alike in groupby(suitable, key=_kind):
        loads = [(load(backend.name), backend) for backend in alike]
        if served := [(busy, backend) for busy, backend in loads if busy.slots]:
            return _soonest(served, len(suitable), takes, opens)
    return Found(suitable[0].name, "nobody serves a backend that meets the requirements now")


def _soonest(
    served: list[tuple[Load, Backend]],
    suitable: int,
    takes: Callable[[str], float],
    opens: Callable[[str, float, float], float],
) -> Found:
    """Of backends of one kind."""
    if len(served) == 1:
        return Found(served[0][1].name, f"of {suitable} that meet the requirements, {_FIRST}")
    wait, run, best = min(
        (
            (opens(backend.name, busy.wait, run := takes(backend.name)), run, backend)
            for busy, backend in served
        ),
        key=lambda it: (it[0] + it[1], *_quality(it[2])),
    )
    told = f"is to finish it soonest: it waits {wait:.3g} s and runs {run:.3g} s"
    return Found(best.name, f"of {len(served)} alike that meet the requirements, it {told}")


_FIRST = "simulators come first, and those without noise before others"


def _quality(backend: Backend) -> tuple[float, float, str]:
    error = float("inf") if backend.error is None else backend.error
    return error, -(backend.calibrated or 0.0), backend.name


def _kind(backend: Backend) -> tuple[bool, bool]:
    return not backend.simulator, not backend.ideal


def _by_kind(backend: Backend) -> tuple[tuple[bool, bool], str]:
    return _kind(backend), backend.name
