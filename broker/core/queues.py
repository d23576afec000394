"""Who waits for which backend, and whose turn it is. Tenants are told apart."""

from collections import Counter, deque
from collections.abc import Container, Sequence
from itertools import islice

from broker.core.backend_queue import BackendQueue, IsHeld, Standing, step_of
from broker.core.lanes import (
    PLACED,
    SPARE,
    UNPLACED,
    Block,
    Entry,
    Known,
    Place,
    entry_in,
    place_of,
    those_known,
)
from broker.core.scheduler import Choice, Head, Offer, Rank, choose
from broker.core.sharing import Sharing
from schemas.values import JobKey

MOVED = 100_000  # jobs at a backend, the first ones, that are looked at when it is left


class Queues:
    """Who waits for which backend, in the order in which they go.

    Jobs are in it by the keys of their records: so very many are restored without a look at each.
    """

    def __init__(self, sharing: Sharing | None = None) -> None:
        self.sharing = sharing or Sharing()
        self._queues: dict[str, BackendQueue] = {}
        self._entries: Known = {}
        self._arrivals = 0
        self._by_tenant: Counter[str] = Counter()
        self._held: dict[str, set[str]] = {}  # tenants that wait for their limit, and where
        # Those that wait for any backend, and some that do not any more:
        self._unlooked: deque[Entry] = deque()  # one that is there now may suit them
        self._looked: deque[Entry] = deque()  # none does
        self._left: frozenset[str] = frozenset()  # backends whose jobs may go elsewhere

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: JobKey) -> bool:
        return key.encode() in self._entries

    # Who comes and goes

    def add(self, key: JobKey, backend: str, priority: int, again: bool = False) -> None:
        """Put a job at the end of its priority; with *again*, behind the lost ones at its front."""
        self._arrivals += 1
        place = place_of(backend, priority, again, key.tenant)
        self._put(self._arrivals, key.encode(), place)

    def restore(self, keys: Sequence[bytes], places: Sequence[Place]) -> None:
        """Put very many jobs at the ends of *places*. Only before any other is added."""
        arrivals = range(self._arrivals + 1, self._arrivals + len(keys) + 1)
        self._arrivals += len(keys)
        if places.count(places[0]) == len(places):
            self._restore(Block(arrivals, keys, places[0]), keys)
            return
        parts: dict[Place, list[tuple[int, bytes]]] = {}
        for place, arrival, key in zip(places, arrivals, keys, strict=True):
            parts.setdefault(place, []).append((arrival, key))
        for place, part in parts.items():
            theirs, names = zip(*part, strict=True)
            self._restore(Block(theirs, names, place), names)

    def _restore(self, block: Block, keys: Sequence[bytes]) -> None:
        backend, _, tenant = block.place
        self._entries.update(dict.fromkeys(keys, block))
        self._by_tenant[tenant] += len(block)
        self._queue(backend).restore(block)
        if backend == UNPLACED:
            block.open(self._entries)
            self._looked.extend(block.entries)

    def place(self, key: JobKey, backend: str) -> None:
        """*backend* was found for a job that waited for any; it goes when it would have gone."""
        arrival, known, (_, (priority, _), tenant) = self._take(key)
        self._put(arrival, known, (backend, (priority, PLACED), tenant))

    def _put(self, arrival: int, key: bytes, place: Place) -> None:
        entry = self._entries[key] = self._queue(place[0]).add(arrival, key, place)
        self._by_tenant[place[2]] += 1
        if place[0] == UNPLACED:
            self._looked.append(entry)

    def _queue(self, backend: str) -> BackendQueue:
        if (queue := self._queues.get(backend)) is None:
            reached, usual = self.sharing.reached, self.sharing.usual
            standing = Standing(
                lambda tenant: reached(tenant, backend), lambda tenant: usual(tenant, backend)
            )
            queue = self._queues[backend] = BackendQueue(self._entries, standing)
        return queue

    def remove(self, key: JobKey) -> None:
        """The job waits no more."""
        self._take(key)

    def discard(self, key: JobKey) -> None:
        """The job waits no more, if it did."""
        if key in self:
            self._take(key)

    def _take(self, key: JobKey) -> Entry:
        entry = entry_in(self._entries, key)
        del self._entries[entry[1]]
        backend, _, tenant = entry[2]
        self._by_tenant[tenant] -= 1
        if not self._by_tenant[tenant]:
            del self._by_tenant[tenant]
        queue = self._queues[backend]
        queue.remove(entry)
        if not queue:
            del self._queues[backend]
        if backend == UNPLACED:
            self._tidy()
        return entry

    # Whose turn it is

    def next(
        self, offers: Sequence[Offer], is_held: IsHeld = lambda tenant: False
    ) -> Choice | None:
        """Which job goes next, and to which of *offers*. None if nobody can go.

        Jobs of tenants that are held wait, and others pass. Who was held is asked about again only
        when it is released.
        """
        return choose(lambda backend: self._head(backend, is_held), self._queues.keys(), offers)

    def _head(self, backend: str, is_held: IsHeld) -> Head | None:
        """Who goes next on *backend*."""
        queue = self._queues.get(backend)
        if queue is None:
            return None

        def held(tenant: str) -> bool:
            if is_held(tenant):
                self._held.setdefault(tenant, set()).add(backend)
                return True
            return False

        if (entry := queue.head(held)) is None:
            return None
        arrival, key, (_, rung, tenant) = entry
        step = step_of(rung)
        reached = self.sharing.reached(tenant) if step[1] else 0.0
        return Head(Rank(step, reached, arrival), JobKey.decode(key))

    def touch(self, backend: str, tenants: Sequence[str]) -> None:
        """*tenants* have come to another point with their shares of *backend*."""
        if (queue := self._queues.get(backend)) is not None:
            for tenant in tenants:
                queue.touch(tenant)

    def release(self, tenant: str) -> None:
        """*tenant* may not be held any more."""
        for backend in self._held.pop(tenant, ()):
            self.touch(backend, [tenant])

    def held(self, backend: str) -> list[str]:
        """The tenants that were held there, and have jobs that wait."""
        held = self._held.items()
        return [name for name, where in held if backend in where and self._by_tenant[name]]

    @property
    def all_held(self) -> list[str]:
        """The tenants that were held somewhere."""
        return list(self._held)

    # Who waits

    def count(self, backend: str) -> int:
        """How many wait for *backend*."""
        queue = self._queues.get(backend)
        return len(queue) if queue else 0

    def count_of(self, tenant: str) -> int:
        """How many of *tenant* wait."""
        return self._by_tenant[tenant]

    def backends(self) -> list[str]:
        """The backends that are waited for."""
        return list(self._queues)

    def waiting(self, backend: str, limit: int) -> list[JobKey]:
        """The next *limit* jobs for *backend*, in order."""
        queue = self._queues.get(backend)
        return [JobKey.decode(key) for _, key, _ in islice(queue, limit)] if queue else []

    def waiting_for_others(self, known: Container[str], limit: int) -> list[JobKey]:
        """The first *limit* jobs whose backend is not *known*, or that none has suited."""
        found: list[JobKey] = []
        for backend in self.backends():
            if backend in known or (backend == UNPLACED and self.is_looking):
                continue
            found += self.waiting(backend, limit - len(found))
            if len(found) >= limit:
                break
        return found

    # Those that wait for any backend

    def look_again(self) -> None:
        """What there is has changed: it may suit those that nothing has suited so far."""
        looked, self._looked = self._looked, deque()
        if self._unlooked:
            self._unlooked.extend(looked)
        else:
            self._unlooked = looked

    @property
    def is_looking(self) -> bool:
        """Whether some are still to be looked at."""
        return bool(self._unlooked)

    def look_elsewhere(self, left: frozenset[str]) -> None:
        """Jobs at the backends *left* may do better elsewhere: the first of each are looked at."""
        for backend in left - self._left:
            if (queue := self._queues.get(backend)) is not None:
                self._unlooked.extend(islice(queue, MOVED))
        self._left = left

    def to_look_at(self, limit: int) -> list[JobKey]:
        """The next up to *limit* of those, each once."""
        taken = [self._unlooked.popleft() for _ in range(min(limit, len(self._unlooked)))]
        waiting = list(filter(self._waits, taken))
        self._looked.extend(entry for entry in waiting if entry[2][0] == UNPLACED)
        return [JobKey.decode(key) for _, key, _ in waiting]

    def _tidy(self) -> None:
        """Let go of those that wait no more where they are too many."""
        if len(self._looked) > 2 * self.count(UNPLACED) + SPARE:
            self._looked = those_known(self._looked, self._entries)

    def _waits(self, entry: Entry) -> bool:
        return self._entries.get(entry[1]) is entry
