"""Jobs for which a backend is looked for: nothing has suited them so far, or nothing begins there."""

from collections import deque
from collections.abc import Mapping
from itertools import islice

from broker.core.backend_queue import BackendQueue
from broker.core.lanes import SPARE, UNPLACED, Block, Entry, Known, those_known
from schemas.values import JobKey

MOVED = 100_000  # jobs at a backend, the first ones, that are looked at when it is left


class Seekers:
    """Those of *queues* that wait for any backend, or for one that begins none.

    Each is looked at once for each change of what there is. Some that wait no more are among them.
    """

    def __init__(self, known: Known, queues: Mapping[str, BackendQueue]) -> None:
        self._known, self._queues = known, queues
        self._unlooked: deque[Entry] = deque()  # a backend that is there now may suit them better
        self._looked: deque[Entry] = deque()  # none does
        self._left: frozenset[str] = frozenset()  # backends whose jobs may go elsewhere

    def __len__(self) -> int:
        return len(self._unlooked) + len(self._looked)

    def add(self, entry: Entry) -> None:
        """One more waits, perhaps for a backend that begins jobs."""
        if (backend := entry[2][0]) == UNPLACED:
            self._looked.append(entry)
        elif backend in self._left:
            self._unlooked.append(entry)

    def restore(self, block: Block) -> None:
        """Many wait for any backend, as they did before this broker."""
        block.open(self._known)
        self._looked.extend(block.entries)

    def tidy(self) -> None:
        """One that waited for any waits no more: let go of such where they are too many."""
        waiting = self._queues.get(UNPLACED, ())
        if len(self._looked) > 2 * len(waiting) + SPARE:
            self._looked = those_known(self._looked, self._known)

    def look_again(self) -> None:
        """What there is has changed: it may suit those that nothing has suited so far, or that wait
        where nothing begins.
        """
        self._left = frozenset()
        looked, self._looked = self._looked, deque()
        if self._unlooked:
            self._unlooked.extend(looked)
        else:
            self._unlooked = looked

    def look_elsewhere(self, left: frozenset[str]) -> None:
        """Jobs at the backends *left*, where nothing begins, may go elsewhere: the first of each are
        looked at, once for each change.
        """
        for backend in left if left != self._left else ():
            self._unlooked.extend(islice(self._queues.get(backend, ()), MOVED))
        self._left = left

    @property
    def is_looking(self) -> bool:
        """Whether some are still to be looked at."""
        return bool(self._unlooked)

    def to_look_at(self, limit: int) -> list[tuple[JobKey, str]]:
        """The next up to *limit* of those, each once, with where they wait."""
        taken = [self._unlooked.popleft() for _ in range(min(limit, len(self._unlooked)))]
        waiting = those_known(taken, self._known)
        self._looked.extend(entry for entry in waiting if entry[2][0] == UNPLACED)
        return [(JobKey.decode(key), place[0]) for _, key, place in waiting]
