"""The newest events in memory: what live streams and fresh questions are answered from."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Generic, TypeVar

from msgspec.structs import replace

from broker.budget import JOB, Room
from schemas.jobs import Job
from schemas.values import NOTHING, JobKey

_OVERHEAD = 400  # bytes that an event costs beside its value


class HotJob:
    """A job whose newest state is at hand. `id` is its number in that file of the local copy."""

    __slots__ = ("based", "copy", "counted", "events", "gone", "id", "job", "key", "unwritten")

    def __init__(self, ident: int, key: JobKey, job: Job, based: bool, copy: int = 0) -> None:
        self.id, self.key, self.job, self.based, self.copy = ident, key, job, based, copy
        self.events: Suffix[KeptEvent] = Suffix("seq")
        self.counted = 0  # bytes of it that memory is charged for
        self.unwritten = False
        self.gone = False  # removed: what memory still has of it is shown to nobody

    @property
    def size(self) -> int:
        """Bytes that its state takes: inputs and result, and what comes with them."""
        params = self.job.details.params if self.job.details else b""
        return JOB + len(params) + len(self.job.value)

    @property
    def kept_from(self) -> int:
        """The number from which on all its events are in memory."""
        first = self.events.first
        return self.job.seq + 1 if first is None else first

    @property
    def slim(self) -> "HotJob":
        """The same without inputs and result, for who keeps it for long; its events are the same."""
        details = self.job.details and replace(self.job.details, params=NOTHING)
        job = replace(self.job, details=details, value=NOTHING)
        slim = HotJob(self.id, self.key, job, self.based, self.copy)
        slim.events = self.events
        return slim


class KeptEvent:
    """One event of the ledger, with the job that it belongs to."""

    __slots__ = ("hot", "kind", "offset", "partition", "seq", "value")

    def __init__(
        self, hot: HotJob, partition: int, offset: int, seq: int, kind: str, value: bytes
    ) -> None:
        self.hot, self.partition, self.offset = hot, partition, offset
        self.seq, self.kind, self.value = seq, kind, value

    @property
    def job(self) -> int:
        """The number of its job in the file."""
        return self.hot.id

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self.value) + _OVERHEAD


E = TypeVar("E")
EMPTY: Mapping[JobKey, HotJob] = {}


class Suffix(Generic[E]):
    """The end of a sequence that grows at one side and is cut at the other, ordered by *number*."""

    __slots__ = ("_head", "_items", "_number")

    def __init__(self, number: str) -> None:
        self._items: list[E | None] = []
        self._head = 0
        self._number = attrgetter(number)

    def __len__(self) -> int:
        return len(self._items) - self._head

    @property
    def first(self) -> int | None:
        """The number of the oldest item."""
        return self._number(self._items[self._head]) if len(self) else None

    def append(self, item: E) -> None:
        """*item* has the largest number."""
        self._items.append(item)

    def drop_oldest(self) -> None:
        """Let the oldest item go."""
        self._items[self._head] = None
        self._head += 1
        if self._head > 64 and self._head * 2 > len(self._items):
            del self._items[: self._head]
            self._head = 0

    def since(self, number: int) -> Iterator[E]:
        """The items with that number or a larger one, in order."""
        first = bisect_left(self._items, number, self._head, key=self._number)
        for index in range(first, len(self._items)):
            item = self._items[index]
            assert item is not None
            yield item


class Recent:
    """All that is in memory: bounded in bytes, oldest out first, but never before it is written."""

    def __init__(self, limit: int, floors: Sequence[int]) -> None:
        self._room = Room("recent", limit)
        self._order: deque[KeptEvent] = deque()
        self._written = list(floors)  # per partition: events before this offset are on disk
        self.floors = list(floors)  # per partition: events from this offset on are all here
        self.partitions: tuple[Suffix[KeptEvent], ...] = tuple(Suffix("offset") for _ in floors)
        self.jobs: dict[JobKey, HotJob] = {}

    @property
    def bytes(self) -> int:
        """What the events take, and the jobs that they belong to."""
        return self._room.held

    def keep(self, hot: HotJob) -> bool:
        """*hot* is the newest state of its job; whether it was not kept so far."""
        is_new = self.jobs.get(hot.key) is not hot
        if is_new:
            self.let_go(hot.key)
            self.jobs[hot.key] = hot
        size = hot.size
        self._room.hold(size - hot.counted)
        hot.counted = size
        return is_new

    def let_go(self, key: JobKey) -> None:
        """The job that *key* names is found elsewhere from now on, or not at all."""
        if (hot := self.jobs.pop(key, None)) is not None:
            self._room.give_back(hot.counted)
            hot.counted = 0

    def add(self, event: KeptEvent) -> None:
        """*event* is the newest of its job and of its partition."""
        self._order.append(event)
        self._room.hold(event.size)
        self.partitions[event.partition].append(event)
        event.hot.events.append(event)

    def written(self, positions: Sequence[int], jobs: Mapping[JobKey, HotJob] = EMPTY) -> None:
        """Everything before *positions* is on disk, and so are *jobs*: what is too much may go.

        So may those whose events have left memory while their state was being written.
        """
        self._written = list(positions)
        self.trim()
        for key, hot in jobs.items():
            if not hot.unwritten and not len(hot.events) and self.jobs.get(key) is hot:
                self.let_go(key)

    def trim(self) -> None:
        """Drop what is over the limit."""
        while self._room.is_over and self._order:
            oldest = self._order[0]
            if oldest.offset >= self._written[oldest.partition]:
                return
            self._drop(self._order.popleft())

    def _drop(self, event: KeptEvent) -> None:
        self._room.give_back(event.size)
        self.partitions[event.partition].drop_oldest()
        self.floors[event.partition] = event.offset + 1
        hot = event.hot
        hot.events.drop_oldest()
        if not len(hot.events) and not hot.unwritten and self.jobs.get(hot.key) is hot:
            self.let_go(hot.key)
