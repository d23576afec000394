"""Whose turn it is: priority first, then lost attempts again, then the order of arrival."""

from bisect import insort
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import groupby, islice
from typing import NamedTuple

from schemas.values import JobKey

UNPLACED = ""  # stands for the backend of a job that no known backend suits yet

LOST, PLACED, ARRIVED = range(3)  # attempts; jobs that found their backend late; all others
Lane = tuple[int, int]  # (-priority, one of these): smaller goes first, but for the last two
Place = tuple[str, Lane]  # backend and lane


class Rank(NamedTuple):
    """When a job goes, compared with those that wait for other backends."""

    step: tuple[int, bool]  # of the priority: the lost ones, then the others
    arrival: int


class _Queue:
    """The jobs that wait for one backend. Every step costs the same however many wait."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, OrderedDict[JobKey, int]] = {}
        self._order: list[Lane] = []
        self.places: dict[Lane, Place] = {}  # one for all of a lane: there may be very many
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[JobKey]:
        for _, lanes in groupby(self._order, key=_step):
            yield from (key for _, key in merge(*map(self._arrivals, lanes)))

    def add(self, key: JobKey, lane: Lane, arrival: int) -> None:
        if (waiting := self._lanes.get(lane)) is None:
            waiting = self._lanes[lane] = OrderedDict()
            insort(self._order, lane)
        waiting[key] = arrival
        self._length += 1

    def remove(self, key: JobKey, lane: Lane) -> int:
        arrival = self._lanes[lane].pop(key)
        self._length -= 1
        if not self._lanes[lane]:
            del self._lanes[lane]
            self._order.remove(lane)
        return arrival

    def head(self) -> tuple[Rank, JobKey]:
        step = _step(self._order[0])
        lanes = (lane for lane in self._order[:2] if _step(lane) == step)
        arrival, key = min(next(self._arrivals(lane)) for lane in lanes)
        return Rank(step, arrival), key

    def _arrivals(self, lane: Lane) -> Iterator[tuple[int, JobKey]]:
        return ((arrival, key) for key, arrival in self._lanes[lane].items())


def _step(lane: Lane) -> tuple[int, bool]:
    """Within one of these it goes by arrival."""
    return lane[0], lane[1] != LOST


class Queues:
    """Who waits for which backend, in the order in which they go."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._places: dict[JobKey, Place] = {}
        self._arrivals = 0
        self._unlooked: deque[JobKey] = deque()  # wait for any backend, and one may suit now

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: JobKey) -> bool:
        return key in self._places

    def add(self, key: JobKey, backend: str, priority: int, again: bool = False) -> None:
        """Put a job at the end of its priority; with *again*, behind the lost ones at its front."""
        self._arrivals += 1
        self._put(key, backend, (-priority, LOST if again else ARRIVED), self._arrivals)

    def place(self, key: JobKey, backend: str) -> None:
        """*backend* was found for a job that waited for any; it goes when it would have gone."""
        _, (priority, _) = self._places[key]
        arrival = self.remove(key)
        self._put(key, backend, (priority, PLACED), arrival)

    def _put(self, key: JobKey, backend: str, lane: Lane, arrival: int) -> None:
        if (queue := self._queues.get(backend)) is None:
            queue = self._queues[backend] = _Queue()
        queue.add(key, lane, arrival)
        self._places[key] = queue.places.setdefault(lane, (backend, lane))

    def remove(self, key: JobKey) -> int:
        """The job waits no more; the number of its arrival."""
        backend, lane = self._places.pop(key)
        queue = self._queues[backend]
        arrival = queue.remove(key, lane)
        if not queue:
            del self._queues[backend]
        return arrival

    def head(self, backend: str) -> tuple[Rank, JobKey] | None:
        """Who goes next on *backend*."""
        queue = self._queues.get(backend)
        return queue.head() if queue else None

    def count(self, backend: str) -> int:
        """How many wait for *backend*."""
        queue = self._queues.get(backend)
        return len(queue) if queue else 0

    def backends(self) -> list[str]:
        """The backends that are waited for."""
        return list(self._queues)

    def waiting(self, backend: str, limit: int) -> list[JobKey]:
        """The next *limit* jobs for *backend*, in order."""
        queue = self._queues.get(backend)
        return list(islice(queue, limit)) if queue else []

    def ahead_of(self, key: JobKey) -> int:
        """How many jobs go before *key* on its backend. As costly as there are."""
        queue = self._queues[self._places[key][0]]
        return next(ahead for ahead, other in enumerate(queue) if other == key)

    # Those that wait for any backend

    def look_again(self) -> None:
        """What there is has changed: it may suit those that nothing has suited so far."""
        self._unlooked = deque(self.waiting(UNPLACED, self.count(UNPLACED)))

    @property
    def is_looking(self) -> bool:
        """Whether some are still to be looked at."""
        return bool(self._unlooked)

    def to_look_at(self, limit: int) -> list[JobKey]:
        """The next up to *limit* of those, each once."""
        taken = [self._unlooked.popleft() for _ in range(min(limit, len(self._unlooked)))]
        return [key for key in taken if self._waits_for(key, UNPLACED)]

    def _waits_for(self, key: JobKey, backend: str) -> bool:
        place = self._places.get(key)
        return place is not None and place[0] == backend


@dataclass(slots=True)
class Offer:
    """The free slots of one worker, which all its backends share.

    *free* is below zero by what it was given *ahead*: that waits there for the next slot.
    """

    worker: str
    instance: str
    backends: frozenset[str]
    free: int
    ahead: int = 0


class Choice(NamedTuple):
    """A job and the worker that it goes to."""

    key: JobKey
    backend: str
    offer: Offer


def next_dispatch(queues: Queues, offers: Sequence[Offer]) -> Choice | None:
    """Who goes next, and where: the worker with the most free slots. None if nobody can go."""
    offers = [offer for offer in offers if offer.free + offer.ahead > 0]
    if not offers:
        return None
    best: tuple[Rank, Choice] | None = None
    for backend in frozenset[str]().union(*(offer.backends for offer in offers)):
        head = queues.head(backend)
        if head is None or (best and head[0] >= best[0]):
            continue
        rank, key = head
        if offer := _roomiest(offers, backend):
            best = rank, Choice(key, backend, offer)
    return best[1] if best else None


def _roomiest(offers: Iterable[Offer], backend: str) -> Offer | None:
    suitable = (offer for offer in offers if backend in offer.backends)
    return max(suitable, key=lambda offer: offer.free, default=None)
