"""By how many partitions each topic's keys are placed, on record: those that it was made with.

Partitions may be added to a topic while jobs run. Were keys placed by how many there are, a job's
events would go on in another partition, where they may be read before those that came first.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import structlog

from broker.transports.log import TopicPartition
from broker.transports.topics import Cleanup, Topic
from schemas.cloudevents import as_it_is
from schemas.records import Record, Stored

LAYOUT = Topic(
    name="qjb.layout.v1", read=as_it_is, write=Record, partitions=1, cleanup=Cleanup.COMPACT
)

Read = Callable[[TopicPartition, int, int], Awaitable[list[Stored]]]

logger = structlog.get_logger()


def name_of(topic: str, ident: str) -> bytes:
    """The key of what is on record about *topic*: another one once it was made anew."""
    return f"{topic}/{ident}".encode()


async def kept(
    keys: Mapping[str, bytes],
    counts: Mapping[str, int],
    read: Read,
    append: Callable[[Sequence[Record]], Awaitable[object]],
) -> Mapping[str, int]:
    """How keys are placed, which is put on record where it is not: by *counts* then."""
    placed = _placed_by(await _on_record(read), keys)
    if records := _missing(keys, counts, placed):
        await append(records)
        placed = _placed_by(await _on_record(read), keys)
    return placed


async def _on_record(read: Read) -> list[Stored]:
    records: list[Stored] = []
    where = TopicPartition(LAYOUT.name, 0)
    while more := await read(where, records[-1].offset + 1 if records else 0, 1000):
        records += more
    return records


def _missing(
    keys: Mapping[str, bytes], counts: Mapping[str, int], placed: Mapping[str, int]
) -> list[Record]:
    """What is to be put on record about topics that are not *placed*."""
    return [
        Record(msgspec.json.encode({"topic": topic, "partitions": counts[topic]}), key)
        for topic, key in keys.items()
        if topic not in placed
    ]


def _placed_by(records: Sequence[Stored], keys: Mapping[str, bytes]) -> dict[str, int]:
    """How keys are placed, as *records* say. Of two that say it, who came first has it."""
    said: dict[bytes | None, int] = {}
    for record in records:
        try:
            found = msgspec.json.decode(record.value, type=dict[str, str | int])["partitions"]
            said.setdefault(record.key, max(1, int(found)))
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            logger.error("layout.unreadable", offset=record.offset, error=str(error))
    return {topic: said[key] for topic, key in keys.items() if key in said}
