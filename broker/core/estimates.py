"""How long a program runs on a backend: learned from what ran, in bounded memory."""

from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice
from math import inf, sqrt
from typing import NamedTuple

from schemas.jobs import Job
from schemas.ledger import ANY_SIZE, Took

MOST = 10_000  # means that are remembered; those of what ran longest ago are forgotten
NEWEST = 0.2  # weight of the newest run in the mean
SMALL = 256  # bytes of inputs: those with no more are alike


class Estimate(NamedTuple):
    """Seconds that a run is to take: the mean, and the standard deviation."""

    seconds: float
    spread: float


UNKNOWN = Estimate(1.0, 1.0)  # where nothing ran so far


_Where = tuple[str, str, int]  # program, or none for any; backend; the class of the inputs' size


def size_class(size: int) -> int:
    """Which jobs of a program are alike: those whose inputs, *size* bytes, are within a factor of 4."""
    return ((max(0, size - 1) // SMALL).bit_length() + 1) // 2


class Estimates:
    """Running means and deviations: by program, backend and size; by the first two; by backend."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: OrderedDict[_Where, tuple[float, float]] = OrderedDict()  # mean, variance

    def __len__(self) -> int:
        return len(self._known)

    def of(self, job: Job, backend: str) -> Estimate:
        """What *job* is to take on *backend*."""
        return self.estimate(job.program_id, backend, job.size)

    def estimate(self, program: str, backend: str, size: int = 0) -> Estimate:
        """What *program* is to take on *backend* with inputs of *size* bytes.

        As it did with others if it had none of about that size, and as others did there if it never ran.
        """
        for where in _wheres(program, backend, size):
            if (known := self._known.get(where)) is not None:
                return Estimate(known[0], sqrt(known[1]))
        return UNKNOWN

    def longest(self, job: Job, backend: str) -> float:
        """How long *job* takes on *backend* at most, by runs of its program there; inf: none was.

        Two standard deviations above the mean.
        """
        for where in _wheres(job.program_id, backend, job.size)[:2]:
            if (known := self._known.get(where)) is not None:
                return known[0] + 2 * sqrt(known[1])
        return inf

    def known(self, program: str, backend: str, size: int) -> float | None:
        """Seconds that *program* is to take there, to the millisecond; None if nothing ran there."""
        found = self.estimate(program, backend, size)
        return None if found is UNKNOWN else round(found.seconds, 3)

    def usual(self, backend: str) -> Estimate:
        """What any job is to take on *backend*."""
        known = self._known.get(("", backend, ANY_SIZE))
        return UNKNOWN if known is None else Estimate(known[0], sqrt(known[1]))

    def ran(self, program: str, backend: str, seconds: float, size: int = 0) -> None:
        """It took so long."""
        for where in _wheres(program, backend, size):
            self._known[where] = _moved(self._known.get(where), seconds)
            self._known.move_to_end(where)
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def told(self, most: int) -> tuple[Took, ...]:
        """The newest *most* means, the newest last."""
        newest = list(islice(reversed(self._known.items()), most))
        return tuple(
            Took(program, backend, mean, sqrt(variance), size)
            for (program, backend, size), (mean, variance) in reversed(newest)
        )

    def resume(self, told: Iterable[Took]) -> None:
        """Begin with what was *told*."""
        for it in told:
            spread = it.seconds if it.spread is None else it.spread
            self._known[it.program_id, it.backend, it.size] = it.seconds, spread**2


def _wheres(program: str, backend: str, size: int) -> tuple[_Where, _Where, _Where]:
    return (
        (program, backend, size_class(size)),
        (program, backend, ANY_SIZE),
        ("", backend, ANY_SIZE),
    )


def _moved(known: tuple[float, float] | None, seconds: float) -> tuple[float, float]:
    """Mean and variance with one more run; one run alone says nothing of how they differ.

    Exponentially weighted: Finch, Incremental calculation of weighted mean and variance, 2009.
    """
    if known is None:
        return seconds, seconds**2
    mean, variance = known
    more = NEWEST * (seconds - mean)
    return mean + more, (1 - NEWEST) * (variance + more * (seconds - mean))
