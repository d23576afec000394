"""One of the jobs that came lately to each backend, each of them as likely."""

from typing import NamedTuple

from broker.core.lanes import Entry, Known

_SPREAD = 0x9E3779B1  # by which numbers in a row are as good as random ones (Knuth, multiplicative)


class Newcomer(NamedTuple):
    """A job as it came."""

    entry: Entry
    rank: int  # jobs of its tenant and priority that waited there already


class Newcomers:
    """Since each backend's was taken the last time."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._chosen: dict[str, Newcomer] = {}
        self._came: dict[str, int] = {}

    def add(self, entry: Entry, rank: int) -> None:
        """A job came, behind so many."""
        arrival, _, (backend, *_) = entry
        came = self._came[backend] = self._came.get(backend, 0) + 1
        if (arrival * _SPREAD & 0xFFFFFFFF) * came < 1 << 32:
            self._chosen[backend] = Newcomer(entry, rank)

    def take(self, backend: str) -> Newcomer | None:
        """One of those that came to *backend*, if it still waits there."""
        self._came.pop(backend, None)
        found = self._chosen.pop(backend, None)
        if found is None or self._known.get(found.entry[1]) is not found.entry:
            return None
        return found
