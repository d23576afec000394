"""Who waits for which backend, and whose turn it is. Tenants are told apart."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from broker.core.backend_queue import BackendQueue, IsHeld, Step, step_of
from broker.core.gaps import Gaps
from broker.core.held_tenants import HeldTenants
from broker.core.lanes import (
    PLACED,
    UNPLACED,
    Arrivals,
    Block,
    Entry,
    Known,
    Place,
    entry_in,
    place_of,
)
from broker.core.members import Members
from broker.core.newcomers import Newcomers
from broker.core.precedence import NO_CLAIMS, Claims, Precedence
from broker.core.scheduler import Choice, Head, Offer, Rank, choose
from broker.core.seekers import Seekers
from broker.core.sharing import Sharing
from schemas.values import JobKey


class Queues:
    """Who waits for which backend, in the order in which they go.

    Jobs are in it by the keys of their records: so very many are restored without a look at each.
    """

    def __init__(self, sharing: Sharing | None = None) -> None:
        self.sharing = sharing or Sharing()
        self._queues: dict[str, BackendQueue] = {}
        self._entries: Known = {}
        self.arrivals = Arrivals()
        self._by_tenant: Counter[str] = Counter()
        self._members = Members()
        self.newcomers = Newcomers(self._entries)
        self.gaps = Gaps(self._entries)
        self.held = HeldTenants()
        self.seekers = Seekers(self._entries, self._queues)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: JobKey) -> bool:
        return key.encode() in self._entries

    # Who comes and goes

    def add(
        self,
        key: JobKey,
        backend: str,
        priority: int,
        again: bool = False,
        session: JobKey | None = None,
        arrived: int | None = None,
    ) -> None:
        """Put a job at the end of its priority; with *again*, behind the lost ones at its front, as
        the one that it *arrived* as, if it is not the next.
        """
        place = place_of(backend, priority, again, key.tenant)
        entry = self._put(arrived or self.arrivals.next(), key.encode(), place)
        if session is not None:
            self._members.join(session, entry)
        if not again:
            self.newcomers.add(entry, self._queues[place[0]].count(place) - 1)

    def join(self, key: JobKey, session: JobKey) -> None:
        """A job that was restored is in *session*."""
        if key in self:
            self._members.join(session, entry_in(self._entries, key))

    def restore(self, block: Block) -> None:
        """Put many jobs at the end of their place. Only before any other is added."""
        backend, _, tenant = block.place
        self.arrivals.reach(block.last)
        self._entries.update(dict.fromkeys(block.keys, block))
        self._by_tenant[tenant] += len(block)
        self._queue(backend).restore(block)
        if backend == UNPLACED:
            self.seekers.restore(block)

    def place(self, key: JobKey, backend: str) -> None:
        """*backend* was found for a job that waited for any; it goes when it would have gone."""
        entry, session = self._take(key)
        arrival, known, (_, (priority, _), tenant) = entry
        entry = self._put(arrival, known, (backend, (priority, PLACED), tenant))
        if session is not None:
            self._members.join(session, entry)

    def _put(self, arrival: int, key: bytes, place: Place) -> Entry:
        entry = self._entries[key] = self._queue(place[0]).add(arrival, key, place)
        self._by_tenant[place[2]] += 1
        self.seekers.add(entry)
        self.gaps.add(place[0], entry)
        return entry

    def _queue(self, backend: str) -> BackendQueue:
        if (queue := self._queues.get(backend)) is None:
            standing = self.sharing.standing(backend)
            queue = self._queues[backend] = BackendQueue(self._entries, standing)
        return queue

    def remove(self, key: JobKey) -> None:
        """The job waits no more."""
        self._take(key)

    def discard(self, key: JobKey) -> None:
        """The job waits no more, if it did."""
        if key in self:
            self._take(key)

    def _take(self, key: JobKey) -> tuple[Entry, JobKey | None]:
        """Its entry, and its session."""
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
            self.newcomers.take(backend)
        self.gaps.remove(backend, entry[1])
        if backend == UNPLACED:
            self.seekers.tidy()
        return entry, self._members.leave(entry)

    # Whose turn it is

    def next(
        self,
        offers: Sequence[Offer],
        is_held: IsHeld = lambda tenant: False,
        claims: Claims = NO_CLAIMS,
    ) -> Choice | None:
        """Which job goes next, and to which of *offers*. None if nobody can go.

        Jobs of tenants that are held wait, and others pass. Who was held is asked about again only
        when it is released.
        """
        return choose(
            lambda backend: self._head(backend, is_held, claims), self._queues.keys(), offers
        )

    def _head(self, backend: str, is_held: IsHeld, claims: Claims) -> Head | None:
        """Who goes next on *backend*."""
        queue = self._queues.get(backend)
        if queue is None:
            return None
        is_held = self.held.noting(backend, is_held)
        if (entry := self._chosen(backend, queue, is_held, claims)) is None:
            return None
        arrival, key, (_, rung, tenant) = entry
        step = step_of(rung)
        reached = self.sharing.reached(tenant) if step[1] else 0.0
        return Head(Rank(step, reached, arrival), JobKey.decode(key))

    def _chosen(
        self, backend: str, queue: BackendQueue, is_held: IsHeld, claims: Claims
    ) -> Entry | None:
        """Whoever is next there and ends before others have the backend for themselves."""
        precedence = Precedence(backend, queue, self._members, claims)
        entry = precedence.head(is_held)
        if precedence.around.ahead is None:
            self.gaps.end(backend)
            return entry
        if entry is None or precedence.fits(entry):
            return entry
        return None if precedence.holders else self.gaps.head(precedence, is_held)

    def touch(self, backend: str, tenants: Sequence[str]) -> None:
        """*tenants* have come to another point with their shares of *backend*."""
        if (queue := self._queues.get(backend)) is not None:
            for tenant in tenants:
                queue.touch(tenant)
                self.gaps.touch(backend, tenant)

    def release(self, tenant: str) -> None:
        """*tenant* may not be held any more."""
        for backend in self.held.release(tenant):
            self.touch(backend, [tenant])

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

    def lines(self, backend: str) -> Iterator[tuple[Step, str, int]]:
        """How many jobs of each step each tenant has that wait for *backend*."""
        return iter(()) if (queue := self._queues.get(backend)) is None else queue.lines()

    def waiting(self, backend: str, limit: int, claims: Claims = NO_CLAIMS) -> list[JobKey]:
        """The next *limit* jobs for *backend*, in order."""
        if (queue := self._queues.get(backend)) is None:
            return []
        entries = Precedence(backend, queue, self._members, claims).in_order()
        return [JobKey.decode(key) for _, key, _ in islice(entries, limit)]
