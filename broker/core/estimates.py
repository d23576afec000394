"""How long a program runs on a backend: learned from what ran, in bounded memory."""

from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice

from schemas.ledger import Took

MOST = 10_000  # programs on backends that are remembered; those that ran longest ago are forgotten
UNKNOWN = 1.0  # s, where nothing ran so far
NEWEST = 0.2  # weight of the newest run in the mean

Where = tuple[str, str]  # program, backend; no program: all on that backend


class Estimates:
    """Running means, in seconds."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._means: OrderedDict[Where, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._means)

    def seconds(self, program: str, backend: str) -> float:
        """What *program* is to take on *backend*; as others did there, if it never ran."""
        known = self._means.get((program, backend))
        return self._means.get(("", backend), UNKNOWN) if known is None else known

    def ran(self, program: str, backend: str, seconds: float) -> None:
        """It took so long."""
        for where in ((program, backend), ("", backend)):
            mean = self._means.get(where, seconds)
            self._means[where] = mean + NEWEST * (seconds - mean)
            self._means.move_to_end(where)
        while len(self._means) > self._most:
            self._means.popitem(last=False)

    def told(self, most: int) -> tuple[Took, ...]:
        """The newest *most* means, the newest last."""
        newest = list(islice(reversed(self._means.items()), most))
        return tuple(Took(*where, mean) for where, mean in reversed(newest))

    def resume(self, told: Iterable[Took]) -> None:
        """Begin with what was *told*."""
        for it in told:
            self._means[it.program_id, it.backend] = it.seconds
