"""Topics as roles read them: whole, or as they grow, with one word for what nobody can read."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import structlog

from broker.errors import LogUnavailableError, UnavailableError
from broker.retrying import LONGEST_PAUSE, say_unavailable
from broker.transports.log import Bounds, Follower, Log, TopicPartition
from schemas.decoding import UnreadableError
from schemas.records import Stored
from schemas.topics import Cleanup, Topic

AT_ONCE = 1000  # records that are read before others get a turn
LONGEST_WAIT = 60.0  # s for the next record, before the log is asked anew

M = TypeVar("M")

logger = structlog.get_logger()


class Readable(Protocol):
    """Of a log what it takes to read what is there."""

    def partitions(self, topic: str) -> int:
        """How many there are."""

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """The offsets that the partition holds."""

    async def read(self, topic: str, partition: int, start: int, limit: int) -> list[Stored]:
        """Records that are there now."""


# Where


def places_of(log: Readable, topic: Topic[Any, ...]) -> list[TopicPartition]:
    """All partitions of *topic*."""
    return [TopicPartition(topic.name, number) for number in range(log.partitions(topic.name))]


async def bounds_of(log: Readable, topic: Topic[Any, ...]) -> dict[TopicPartition, Bounds]:
    """What each partition of *topic* holds now. Raises `LogUnavailableError`."""
    return {where: await log.bounds(*where) for where in places_of(log, topic)}


async def ends_of(log: Readable, topic: Topic[Any, ...]) -> dict[TopicPartition, int]:
    """Where each partition of *topic* ends now. Raises `LogUnavailableError`."""
    return {where: bounds.next for where, bounds in (await bounds_of(log, topic)).items()}


# What is there


async def pages(
    log: Readable, places: Iterable[TopicPartition], at_once: int = AT_ONCE, pause: float = 0
) -> AsyncGenerator[list[Stored], None]:
    """What *places* hold now, one after the other, in pieces, with *pause* seconds between them."""
    for where in places:
        bounds = await log.bounds(*where)
        position = bounds.first
        while position < bounds.next:
            if not (records := await log.read(*where, position, at_once)):
                break
            yield records
            position = records[-1].offset + 1
            await asyncio.sleep(pause)


async def read_whole(
    log: Readable, topic: Topic[M, ...], take: Callable[[Stored, M | None], object]
) -> dict[TopicPartition, int]:
    """Give all that *topic* holds now to *take*; where to read on. Raises `LogUnavailableError`."""
    starts: dict[TopicPartition, int] = {}
    for where in places_of(log, topic):
        starts[where] = (await log.bounds(*where)).first
        async for records in pages(log, [where]):
            take_said(topic, records, take)
            starts[where] = records[-1].offset + 1
    return starts


# What comes


async def follow(
    log: Log,
    topic: Topic[M, ...],
    starts: Mapping[TopicPartition, int],
    take: Callable[[Stored, M | None], object],
) -> None:
    """Give what comes from *starts* on to *take*, until cancelled. A log that is away is awaited."""
    follower = log.follow(starts)
    try:
        while True:
            take_said(topic, await next_of(follower), take)
    finally:
        await follower.close()


async def next_of(follower: Follower, wait: float = LONGEST_WAIT) -> Sequence[Stored]:
    """What has come; nothing while the log can not be reached."""
    try:
        return await follower.next(wait)
    except LogUnavailableError as error:
        say_unavailable(error)
        await asyncio.sleep(LONGEST_PAUSE)
        return ()


# What is said there


def take_said(
    topic: Topic[M, ...], records: Iterable[Stored], take: Callable[[Stored, M | None], object]
) -> None:
    """Give each of *records* to *take*, with what it says; None: what its key said holds no more."""
    compacted = Cleanup.COMPACT in topic.cleanup

    def take_one(record: Stored) -> None:
        take(record, topic.read(record) if record.value or not compacted else None)

    take_each(records, take_one)


def take_each(records: Iterable[Stored], take: Callable[[Stored], object]) -> None:
    """Give each of *records* to *take*; what it can not take is told, and passed over.

    Raises `UnavailableError` where *take* does: that is no fault of the record, which is not taken.
    """
    for record in records:
        try:
            take(record)
        except UnreadableError as error:
            say_unreadable(record, error)
        except UnavailableError:
            raise
        except Exception:
            logger.exception("record.failed", **where_of(record))


def said_in(record: Stored, read: Callable[[Stored], M]) -> M | None:
    """What *record* says; None, and a word about it, if nobody can read it."""
    try:
        return read(record)
    except UnreadableError as error:
        say_unreadable(record, error)
        return None


def say_unreadable(record: Stored, error: UnreadableError) -> None:
    """That nobody can read *record*, and why."""
    logger.warning("record.unreadable", **where_of(record), code=error.code, error=error.message)


def where_of(record: Stored) -> dict[str, object]:
    """Where *record* stands, as the log of the process names it."""
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}
