"""Which jobs fit in before a window that is another's: the time until then is not left idle.

EASY backfilling (Lifka 1995), with the window in the place of the first job's reservation.
"""

from collections import deque
from collections.abc import Callable
from itertools import islice

from broker.core.backend_queue import BackendQueue, IsHeld
from broker.core.lanes import Entry, Known
from broker.core.precedence import Precedence
from broker.core.windows import Around

LOOKED = 10_000  # jobs, the first ones, that are looked at for one window, beside those that come
AT_ONCE = 16  # of those, for one decision

Fits = Callable[[Entry], bool]


class Gap:
    """The time before one window. Each job is looked at once: one that is too long stays too long."""

    def __init__(self, around: Around, queue: BackendQueue, known: Known) -> None:
        self.around = around
        self._known = known
        self._unlooked = deque(islice(queue, LOOKED))
        self._fitting = BackendQueue(known, queue.standing)
        self._entries: dict[bytes, Entry] = {}  # of those

    @property
    def is_looking(self) -> bool:
        """Whether some are still to be looked at."""
        return bool(self._unlooked)

    def add(self, entry: Entry) -> None:
        """One more waits."""
        self._unlooked.append(entry)

    def remove(self, key: bytes) -> None:
        """That job waits no more."""
        if (entry := self._entries.pop(key, None)) is not None:
            self._fitting.remove(entry)

    def touch(self, tenant: str) -> None:
        """When *tenant* goes may have changed."""
        self._fitting.touch(tenant)

    def head(self, is_held: IsHeld, fits: Fits) -> Entry | None:
        """Who goes next of those that fit, as far as was looked."""
        for _ in range(min(AT_ONCE, len(self._unlooked))):
            entry = self._unlooked.popleft()
            if self._known.get(entry[1]) is entry and fits(entry):
                self._entries[entry[1]] = self._fitting.add(*entry)
        while (found := self._fitting.head(is_held)) is not None:
            if fits(found):
                return found
            self.remove(found[1])
        return None


class Gaps:
    """By backend: those before windows for which whoever is next is too long."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._gaps: dict[str, Gap] = {}
        self.is_looking = False  # the newest look ended before all were looked at

    def head(self, precedence: Precedence, is_held: IsHeld) -> Entry | None:
        """Who goes next of those who fit in before the window that is ahead."""
        backend, around = precedence.backend, precedence.around
        gap = self._gaps.get(backend)
        if gap is None or gap.around != around:
            gap = self._gaps[backend] = Gap(around, precedence.queue, self._known)
        found = gap.head(is_held, precedence.fits)
        self.is_looking |= found is None and gap.is_looking
        return found

    def add(self, backend: str, entry: Entry) -> None:
        """One more waits there."""
        if (gap := self._gaps.get(backend)) is not None:
            gap.add(entry)

    def remove(self, backend: str, key: bytes) -> None:
        """That job waits no more."""
        if (gap := self._gaps.get(backend)) is not None:
            gap.remove(key)

    def touch(self, backend: str, tenant: str) -> None:
        """When *tenant* goes there may have changed."""
        if (gap := self._gaps.get(backend)) is not None:
            gap.touch(tenant)

    def end(self, backend: str) -> None:
        """No window is ahead of it."""
        self._gaps.pop(backend, None)
