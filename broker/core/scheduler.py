"""Whose turn it is: priority first, then lost attempts again, then the order of arrival."""

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from schemas.values import JobKey

UNPLACED = ""  # stands for the backend of a job that no known backend suits yet

Lane = tuple[int, int]  # (-priority, 0 for a lost attempt and 1 for the others): smaller goes first


class Rank(NamedTuple):
    """When a job goes, compared with those that wait for other backends."""

    lane: Lane
    arrival: int


class _Queue:
    """The jobs that wait for one backend. Every step costs the same however many wait."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, OrderedDict[JobKey, int]] = {}
        self._order: list[Lane] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[JobKey]:
        for lane in self._order:
            yield from self._lanes[lane]

    def add(self, key: JobKey, lane: Lane, arrival: int) -> None:
        if lane not in self._lanes:
            self._lanes[lane] = OrderedDict()
            insort(self._order, lane)
        self._lanes[lane][key] = arrival
        self._length += 1

    def remove(self, key: JobKey, lane: Lane) -> None:
        del self._lanes[lane][key]
        self._length -= 1
        if not self._lanes[lane]:
            del self._lanes[lane]
            self._order.remove(lane)

    def head(self) -> tuple[Rank, JobKey]:
        lane = self._order[0]
        key, arrival = next(iter(self._lanes[lane].items()))
        return Rank(lane, arrival), key

    def ahead_of(self, key: JobKey, lane: Lane) -> int:
        before = sum(len(self._lanes[other]) for other in self._order if other < lane)
        return before + next(i for i, other in enumerate(self._lanes[lane]) if other == key)


class Queues:
    """Who waits for which backend, in the order in which they go."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._places: dict[JobKey, tuple[str, Lane]] = {}
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: JobKey) -> bool:
        return key in self._places

    def add(self, key: JobKey, backend: str, priority: int, again: bool = False) -> None:
        """Put a job at the end of its priority; with *again*, behind the lost ones at its front."""
        lane = (-priority, 0 if again else 1)
        self._arrivals += 1
        self._queues.setdefault(backend, _Queue()).add(key, lane, self._arrivals)
        self._places[key] = backend, lane

    def remove(self, key: JobKey) -> None:
        """The job waits no more."""
        backend, lane = self._places.pop(key)
        queue = self._queues[backend]
        queue.remove(key, lane)
        if not queue:
            del self._queues[backend]

    def heads(self) -> Iterator[tuple[str, Rank, JobKey]]:
        """For each backend that is waited for: who goes next."""
        for backend, queue in self._queues.items():
            yield backend, *queue.head()

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
        backend, lane = self._places[key]
        return self._queues[backend].ahead_of(key, lane)


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
    for backend, rank, key in queues.heads():
        if best and rank >= best[0]:
            continue
        if offer := _roomiest(offers, backend):
            best = rank, Choice(key, backend, offer)
    return best[1] if best else None


def _roomiest(offers: Iterable[Offer], backend: str) -> Offer | None:
    suitable = (offer for offer in offers if backend in offer.backends)
    return max(suitable, key=lambda offer: offer.free, default=None)
