"""What the roles see of a log. Memory, embedded and Kafka keep the same promises."""

import enum
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from broker.errors import RecordTooLargeError
from broker.transports.columns import Columns, Kind, no_kind
from schemas.limits import LARGEST_RECORD
from schemas.records import Record, Stored

LARGEST_SAID = 16 * 1024  # bytes of a record whose message is kept
BESIDE = 8  # bytes that a log may need to say how long a header's name and value are


class Reach(enum.Enum):
    """Whose roles can be on a log together."""

    PROCESS = "those of one process, with which it ends"
    MACHINE = "those of any process here, but it ends with the one that has the broker"
    NETWORK = "those of any process, on any machine"


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Position(NamedTuple):
    """Where a record was stored."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """`first`: offset of the oldest record that is still kept; `next`: of the next to come."""

    first: int
    next: int

    def resume(self, position: int) -> int:
        """Where to read on who has read to *position*.

        At the oldest record that is kept, if what follows is not; and if the partition does not
        reach so far: it is not the one that was read, but was made anew.
        """
        return position if self.first <= position <= self.next else self.first


class Follower(Protocol):
    """Reads several partitions as they grow. One owner, one `next` at a time."""

    async def next(self, wait: float) -> Sequence[Stored]:
        """What has come since the last call; waits up to *wait* seconds for the first record.

        Per partition in order, without gap or repeat (compacted records are simply missing).
        Empty after *wait*. At most some thousand records at once. Raises `LogUnavailableError`
        when the log can not be reached for long; calling again goes on where it stopped.
        """

    def positions(self) -> Mapping[TopicPartition, int]:
        """The next offset to be delivered, per partition."""

    async def close(self) -> None:
        """Stop; a `next` that waits returns empty."""


class Log(Protocol):
    """An append-only log of records in topics and partitions."""

    reach: Reach

    @property
    def identity(self) -> str:
        """Names this log, so that nobody mixes up what belongs to another one."""

    def content_of(self, topic: str) -> str:
        """Names what *topic* holds: another one once it was deleted and made anew."""

    async def open(self) -> None:
        """Connect, create the topics that are missing, check those that are there.

        Raises `TopicMisconfiguredError` with every finding, or `LogUnavailableError`.
        """

    async def provide(self, names: Collection[str]) -> None:
        """Have the topics of tenants called *names* too: those that are missing are made.

        Raises `KeyError` where no tenant's topic is called so, and what `open` does.
        """

    async def append(self, topic: str, records: Sequence[Record]) -> list[Position]:
        """Store *records*; when it returns they are durable and readable, in order per partition.

        Where what is appended because of a record can not be stored without it, those of early
        topics are readable before.

        Raises `AppendFailedError` if none was stored, `AppendUnknownError` if some may have been,
        `RecordTooLargeError` (none stored).
        """

    async def read(self, topic: str, partition: int, start: int, limit: int = 1000) -> list[Stored]:
        """Up to *limit* records from offset *start* on that are there now; does not wait.

        Empty only at the end of the partition. A *start* before the first kept record reads from there.
        """

    def columns(
        self,
        topic: str,
        partition: int,
        start: int,
        limit: int = 1000,
        by_key: Kind = no_kind,
    ) -> AsyncGenerator[Columns, None]:
        """All that `read` would give from *start* on, in columns, *limit* records at a time.

        Very many snapshots are read so at a fraction of the price, the next ones while the caller
        looks at these. The values of those of a kind of which only keys are wanted may be `NOT_READ`.
        """

    def follow(self, starts: Mapping[TopicPartition, int]) -> Follower:
        """Read on from *starts* (offsets), live.

        Of topics that are growing also what partitions hold that they get meanwhile.
        """

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """The offsets that the partition holds."""

    def partitions(self, topic: str) -> int:
        """How many partitions *topic* has. Raises `KeyError` for an unknown topic."""

    def partition_of(self, topic: str, key: bytes) -> int:
        """The partition that records with *key* go to, however many are added."""

    def now(self) -> float:
        """The log's own time (seconds since 1970), by which what it holds is old.

        No clock that is wrong for a while moves it by much, so nothing is dropped for that.
        """

    async def watch(self) -> None:
        """Wait for as long as the log can go on in this process; raises `LogBrokenError` then."""

    async def close(self) -> None:
        """Finish what is being appended, then let go."""


def stored_as(
    record: Record,
    where: TopicPartition,
    offset: int,
    timestamp: int,
    packed: bytes | None = None,
) -> Stored:
    """*record* as those in this process read it; the message of a large one is not kept beside it.

    *packed*: its headers as `pack` makes them, which many small tuples need not be kept for.
    """
    topic, partition = where
    value, said = record.value, record.said
    if said is not None and len(value) > LARGEST_SAID:
        said = None
    written = record.headers if packed is None else packed
    return Stored(topic, partition, offset, timestamp, record.key, value, written, said)


def check_size(size: int) -> None:
    """Raise `RecordTooLargeError` if a record of *size* bytes is larger than a log takes."""
    if size > LARGEST_RECORD:
        raise RecordTooLargeError(f"a record of {size} bytes; {LARGEST_RECORD} are the limit")


def size_of(record: Record) -> int:
    """The bytes of key, value and headers, and of what a log stores beside each header."""
    size = len(record.value) + len(record.key or b"") + BESIDE * len(record.headers)
    for name, value in record.headers:
        size += len(name if name.isascii() else name.encode()) + len(value)
    return size
