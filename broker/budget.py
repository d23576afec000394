"""Memory as one budget, in bytes: who holds how much of it, and what happens to what does not fit.

What is counted is what a payload takes, and what was measured to come with each object; not what
the interpreter and its libraries take for themselves.
"""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from broker.errors import UnavailableError
from broker.telemetry import metrics
from schemas.limits import MIB
from schemas.records import Record, Stored
from schemas.workers import BackendAnnounced, EnvironmentAnnounced, Heartbeat, QueueSnapshot, Status

RECORD = 1280  # bytes that a record costs beside its key and value, with our own headers
PACKED_RECORD = 432  # the same, beside its headers, which are in one piece
OWN_HEADERS = 16  # which are fewer
SAID = 600  # bytes that the message in it costs beside its text
HEADER = 160  # bytes that any other costs beside its name and value
JOB = 2048  # bytes that a job's state costs beside its inputs and its result
SMALLEST_BOOK, LARGEST_BOOK = 64 * MIB, 2 * 1024 * MIB  # live jobs; the largest is a million
NAME = 80  # bytes that a name costs beside its letters
ATTEMPT = 320  # bytes that the name of an attempt costs
RUN = 256  # bytes that a run costs that a queue tells of, or a line beside the name of its tenant

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def weight(record: Record | Stored) -> int:
    """Bytes that *record* takes."""
    written = record.headers if isinstance(record, Record) else record.written
    if isinstance(written, bytes):
        size = PACKED_RECORD + len(written)
    else:
        size = RECORD
        if len(written) > OWN_HEADERS:
            size += sum(HEADER + len(name) + len(value) for name, value in written)
    size += len(record.key or b"") + len(record.value)
    if record.said is not None:
        size += SAID + len(record.value)
    return size


def book_memory(free: int) -> int:
    """Bytes of live jobs that a broker keeps where so many are *free*: others need memory, too."""
    return max(SMALLEST_BOOK, min(LARGEST_BOOK, free // 4))


def weight_of_status(status: Status) -> int:
    """Bytes that a message of the status topic takes once it is read."""
    match status:
        case Heartbeat():
            names = [name for pool in status.pools for name in (pool.name, *pool.backends)]
            said = ATTEMPT * len(status.attempts) + _weight_of_names(status.backends)
            return RECORD + said + _weight_of_names(names)
        case BackendAnnounced():
            said = len(status.description) + len(status.configuration) + len(status.properties)
            return RECORD + said
        case EnvironmentAnnounced():
            packages = status.packages
            return RECORD + sum(RECORD + _weight_of_names(one.modules) for one in packages)
        case QueueSnapshot():
            tenants = (line.tenant for line in status.lines)
            said = RUN * (len(status.runs) + len(status.lines))
            said += sum(RECORD + len(window.why) for window in status.windows)
            named = (*status.waiting, *status.held, *status.spent, *status.sessions, *tenants)
            return RECORD + said + _weight_of_names(named)
        case _:
            return RECORD


def _weight_of_names(names: Sequence[str]) -> int:
    return sum(map(len, names), NAME * len(names))


class Room:
    """So many bytes for one *holder*: its share of the budget."""

    def __init__(self, holder: str, size: int, full: str = "there is no memory left") -> None:
        self.size, self.held = size, 0
        self._freed = asyncio.Event()
        self._full = full  # what to say when nothing is left
        metrics.holds(holder, self, lambda room: room.held)

    @property
    def free(self) -> int:
        """Bytes that can be taken."""
        return self.size - self.held

    @property
    def is_over(self) -> bool:
        """Whether more is held than there is room for."""
        return self.held > self.size

    async def await_free(self, size: int, seconds: float) -> None:
        """Until so much is free. Raises `UnavailableError` when that takes longer."""
        try:
            async with asyncio.timeout(seconds):
                while size > self.free:
                    self._freed.clear()
                    await self._freed.wait()
        except TimeoutError:
            raise self._none_left() from None

    def share(self) -> "Share":
        """A part of it, empty at first; given back at the end of the block."""
        return Share(self)

    def take(self, size: int) -> None:
        """Raises `UnavailableError`."""
        if size > self.free:
            raise self._none_left()
        self.held += size

    def hold(self, size: int) -> None:
        """So much more is held, whether there is room or not: who holds it sees to that."""
        self.held += size

    def give_back(self, size: int) -> None:
        """Others can have it."""
        self.held -= size
        self._freed.set()

    def _none_left(self) -> UnavailableError:
        return UnavailableError(f"{self._full}; try again")


class Share:
    """What one request holds."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._held = 0

    def take(self, size: int) -> None:
        """Hold so much more. Raises `UnavailableError`."""
        self._room.take(size)
        self._held += size

    def __enter__(self) -> "Share":
        return self

    def __exit__(self, *_: object) -> None:
        self._room.give_back(self._held)


class Lately(Generic[K, V]):
    """The newest values by key, as many as there is room for. *weigh* says what one takes."""

    def __init__(self, room: Room, weigh: Callable[[V], int]) -> None:
        self._room, self._weigh = room, weigh
        self._kept: dict[K, tuple[V, int]] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._kept

    def __getitem__(self, key: K) -> V:
        return self._kept[key][0]

    def __setitem__(self, key: K, value: V) -> None:
        self.forget(key)
        size = self._weigh(value)
        self._kept[key] = value, size
        self._room.hold(size)
        while self._room.is_over:
            self.forget(next(iter(self._kept)))

    def forget(self, key: K) -> None:
        """Let go of what there is of *key*."""
        if (known := self._kept.pop(key, None)) is not None:
            self._room.give_back(known[1])

    def clear(self) -> None:
        """Let go of everything."""
        for key in list(self._kept):
            self.forget(key)
