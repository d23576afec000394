"""Attempts that seem lost: they are, once all that had been reported by then is decided on."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from broker.core.leases import Suspect
from schemas.values import JobKey

P = TypeVar("P", bound=Hashable)  # what names a partition of the reports


@dataclass(slots=True)
class Doubts(Generic[P]):
    """What a worker said before it fell silent still counts, so that a suspect waits for it."""

    _open: dict[tuple[JobKey, int], tuple[Suspect, Mapping[P, int]]] = field(default_factory=dict)

    def new(self, suspects: Iterable[Suspect]) -> list[Suspect]:
        """Those of *suspects* that do not wait yet."""
        return [each for each in suspects if (each.key, each.number) not in self._open]

    def add(self, suspects: Iterable[Suspect], ends: Mapping[P, int]) -> None:
        """The reports end at *ends*, and some before that may be of *suspects*."""
        for suspect in suspects:
            self._open[suspect.key, suspect.number] = suspect, ends

    def settle(self, decided: Mapping[P, int]) -> list[Suspect]:
        """All before *decided* is decided on: those that are lost now, unless that ended them."""
        settled = [
            name
            for name, (_, ends) in self._open.items()
            if all(decided.get(where, 0) >= end for where, end in ends.items())
        ]
        return [self._open.pop(name)[0] for name in settled]
