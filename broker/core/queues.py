"""Who waits for which backend: priority first, then lost attempts again, then the order of arrival."""

from bisect import insort
from collections import Counter, OrderedDict, deque
from collections.abc import Container, Iterable, Iterator, Sequence
from heapq import merge
from itertools import groupby, islice, repeat
from typing import NamedTuple

from schemas.values import JobKey

UNPLACED = ""  # stands for the backend of a job that no known backend suits yet

LOST, PLACED, ARRIVED = range(3)  # attempts; jobs that found their backend late; all others
Lane = tuple[int, int]  # (-priority, one of these): smaller goes first, but for the last two
Place = tuple[str, Lane]  # backend and lane
Entry = tuple[int, bytes, Place]  # number of the arrival, key of the job's records, where it waits
SPARE = 1_000  # entries of jobs that wait no more, which a lane may have besides as many as wait


def place_of(backend: str | None, priority: int, again: bool) -> Place:
    """Where a job waits; with *again*, behind the lost ones at the front of its priority."""
    return backend or UNPLACED, (-priority, LOST if again else ARRIVED)


class Rank(NamedTuple):
    """When a job goes, compared with those that wait for other backends."""

    step: tuple[int, bool]  # of the priority: the lost ones, then the others
    arrival: int


class _Block:
    """Jobs that were restored together to one place. Entries are made once one of them is touched.

    One that waits no more leaves its entry behind.
    """

    __slots__ = ("_arrivals", "_keys", "entries", "place")

    def __init__(self, arrivals: Sequence[int], keys: Sequence[bytes], place: Place) -> None:
        self._arrivals, self._keys, self.place = arrivals, keys, place
        self.entries: deque[Entry] = deque()

    def __len__(self) -> int:
        return len(self._keys) + len(self.entries)

    def open(self, known: "_Known") -> None:
        """Make the entries, by which those jobs are *known* from now on."""
        if self._keys:
            self.entries.extend(zip(self._arrivals, self._keys, repeat(self.place)))
            known.update(zip(self._keys, self.entries, strict=True))
            self._keys = ()

    @property
    def is_open(self) -> bool:
        return not self._keys


_Known = dict[bytes, Entry | _Block]  # all that wait, by the keys of their records


class _Lane:
    """Jobs of one rank that wait for one backend: those that were restored, then the others."""

    def __init__(self, known: _Known) -> None:
        self._known = known
        self._restored: deque[_Block] = deque()
        self._behind = 0  # entries in those of jobs that wait no more
        self._added: OrderedDict[bytes, Entry] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Entry]:
        for block in self._restored:
            block.open(self._known)
            yield from filter(self._waits, block.entries)
        yield from self._added.values()

    def add(self, entry: Entry) -> None:
        self._added[entry[1]] = entry
        self._length += 1

    def restore(self, block: _Block) -> None:
        """Add very many at once, before any other is added."""
        self._restored.append(block)
        self._length += len(block)

    def remove(self, entry: Entry) -> None:
        self._length -= 1
        if self._added.pop(entry[1], None) is None:
            self._behind += 1
            self._tidy()

    def _tidy(self) -> None:
        """Let go of entries that were left behind: at the front, and where they are too many."""
        while self._restored and self._restored[0].is_open:
            entries = self._restored[0].entries
            while entries and not self._waits(entries[0]):
                entries.popleft()
                self._behind -= 1
            if entries:
                break
            self._restored.popleft()
        if self._behind > self._length + SPARE:
            for block in self._restored:
                block.entries = _those_known(block.entries, self._known)
            self._behind = 0

    def _waits(self, entry: Entry) -> bool:
        return self._known.get(entry[1]) is entry


def _those_known(entries: Iterable[Entry], known: _Known) -> deque[Entry]:
    return deque([entry for entry in entries if known.get(entry[1]) is entry])


class _Queue:
    """The jobs that wait for one backend. Every step costs the same however many wait."""

    def __init__(self, known: _Known) -> None:
        self._known = known
        self._lanes: dict[Lane, _Lane] = {}
        self._order: list[Lane] = []
        self.places: dict[Lane, Place] = {}  # one for all of a lane: there may be very many
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Entry]:
        for _, lanes in groupby(self._order, key=_step):
            yield from merge(*(self._lanes[lane] for lane in lanes))

    def add(self, entry: Entry) -> None:
        self._lane(entry[2][1]).add(entry)
        self._length += 1

    def restore(self, block: _Block) -> None:
        """Add very many at once, before any other is added."""
        self._lane(block.place[1]).restore(block)
        self._length += len(block)

    def remove(self, entry: Entry) -> None:
        lane = entry[2][1]
        self._lanes[lane].remove(entry)
        self._length -= 1
        if not self._lanes[lane]:
            del self._lanes[lane]
            self._order.remove(lane)

    def head(self) -> tuple[Rank, bytes]:
        step = _step(self._order[0])
        lanes = (lane for lane in self._order[:2] if _step(lane) == step)
        arrival, key, _ = min(next(iter(self._lanes[lane])) for lane in lanes)
        return Rank(step, arrival), key

    def _lane(self, lane: Lane) -> _Lane:
        if (found := self._lanes.get(lane)) is None:
            found = self._lanes[lane] = _Lane(self._known)
            insort(self._order, lane)
        return found


def _step(lane: Lane) -> tuple[int, bool]:
    """Within one of these it goes by arrival."""
    return lane[0], lane[1] != LOST


class Queues:
    """Who waits for which backend, in the order in which they go.

    Jobs are in it by the keys of their records: so very many are restored without a look at each.
    """

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._entries: _Known = {}
        self._arrivals = 0
        self._by_tenant: Counter[bytes] = Counter()
        # Those that wait for any backend, and some that do not any more:
        self._unlooked: deque[Entry] = deque()  # one that is there now may suit them
        self._looked: deque[Entry] = deque()  # none does

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: JobKey) -> bool:
        return key.encode() in self._entries

    def add(self, key: JobKey, backend: str, priority: int, again: bool = False) -> None:
        """Put a job at the end of its priority; with *again*, behind the lost ones at its front."""
        place = place_of(backend, priority, again)
        self._arrivals += 1
        self._put(self._arrivals, key.encode(), *place)

    def restore(self, keys: Sequence[bytes], places: Sequence[Place]) -> None:
        """Put very many jobs at the ends of *places*. Only before any other is added."""
        arrivals = range(self._arrivals + 1, self._arrivals + len(keys) + 1)
        self._arrivals += len(keys)
        if places.count(places[0]) == len(places):
            self._restore(_Block(arrivals, keys, places[0]), keys)
            return
        parts: dict[Place, list[tuple[int, bytes]]] = {}
        for place, arrival, key in zip(places, arrivals, keys, strict=True):
            parts.setdefault(place, []).append((arrival, key))
        for place, part in parts.items():
            theirs, names = zip(*part, strict=True)
            self._restore(_Block(theirs, names, place), names)

    def _restore(self, block: _Block, keys: Sequence[bytes]) -> None:
        self._entries.update(dict.fromkeys(keys, block))
        self._by_tenant.update(key.partition(b"/")[0] for key in keys)
        self._queue(block.place[0]).restore(block)
        if block.place[0] == UNPLACED:
            block.open(self._entries)
            self._looked.extend(block.entries)

    def place(self, key: JobKey, backend: str) -> None:
        """*backend* was found for a job that waited for any; it goes when it would have gone."""
        arrival, known, (_, (priority, _)) = self._take(key)
        self._put(arrival, known, backend, (priority, PLACED))

    def _put(self, arrival: int, key: bytes, backend: str, lane: Lane) -> None:
        queue = self._queue(backend)
        entry = arrival, key, queue.places.setdefault(lane, (backend, lane))
        self._entries[key] = entry
        self._by_tenant[key.partition(b"/")[0]] += 1
        queue.add(entry)
        if backend == UNPLACED:
            self._looked.append(entry)

    def _queue(self, backend: str) -> _Queue:
        if (queue := self._queues.get(backend)) is None:
            queue = self._queues[backend] = _Queue(self._entries)
        return queue

    def remove(self, key: JobKey) -> None:
        """The job waits no more."""
        self._take(key)

    def discard(self, key: JobKey) -> None:
        """The job waits no more, if it did."""
        if key in self:
            self._take(key)

    def _take(self, key: JobKey) -> Entry:
        entry = self._entry(key)
        del self._entries[entry[1]]
        tenant = entry[1].partition(b"/")[0]
        self._by_tenant[tenant] -= 1
        if not self._by_tenant[tenant]:
            del self._by_tenant[tenant]
        backend = entry[2][0]
        queue = self._queues[backend]
        queue.remove(entry)
        if not queue:
            del self._queues[backend]
        if backend == UNPLACED:
            self._tidy()
        return entry

    def _entry(self, key: JobKey) -> Entry:
        entry = self._entries[key.encode()]
        while isinstance(entry, _Block):
            entry.open(self._entries)
            entry = self._entries[key.encode()]
        return entry

    def head(self, backend: str) -> tuple[Rank, JobKey] | None:
        """Who goes next on *backend*."""
        if not (queue := self._queues.get(backend)):
            return None
        rank, key = queue.head()
        return rank, JobKey.decode(key)

    def count(self, backend: str) -> int:
        """How many wait for *backend*."""
        queue = self._queues.get(backend)
        return len(queue) if queue else 0

    def count_of(self, tenant: str) -> int:
        """How many of *tenant* wait."""
        return self._by_tenant[tenant.encode()]

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

    def ahead_of(self, key: JobKey) -> int:
        """How many jobs go before *key* on its backend. As costly as there are."""
        entry = self._entry(key)
        queue = self._queues[entry[2][0]]
        return next(ahead for ahead, other in enumerate(queue) if other is entry)

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

    def to_look_at(self, limit: int) -> list[JobKey]:
        """The next up to *limit* of those, each once."""
        taken = [self._unlooked.popleft() for _ in range(min(limit, len(self._unlooked)))]
        waiting = list(filter(self._waits, taken))
        self._looked.extend(waiting)
        return [JobKey.decode(key) for _, key, _ in waiting]

    def _tidy(self) -> None:
        """Let go of those that wait no more where they are too many."""
        if len(self._looked) > 2 * self.count(UNPLACED) + SPARE:
            self._looked = _those_known(self._looked, self._entries)

    def _waits(self, entry: Entry) -> bool:
        return self._entries.get(entry[1]) is entry
