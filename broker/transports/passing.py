"""Topics whose records need not outlive this process: they stay in memory, and need no disk.

Instructions, reports and heartbeats go between a broker and a worker. Where both are in one
process, they end together, and with them the attempts that these are about.
"""

import asyncio
from collections.abc import Mapping, Sequence

from broker.budget import Room
from broker.transports.log import Position, TopicPartition, check_size, size_of, stored_as
from broker.transports.placement import Placement
from broker.transports.retention import survivors
from broker.transports.steady import LogTime
from broker.transports.tail import Tail
from broker.transports.tails import Tails
from broker.transports.topics import Cleanup, Topic
from schemas.limits import MIB
from schemas.records import Record

KEPT = 6_000  # records of a partition that stay when all who follow have read them
KEPT_BYTES = 32 * MIB
SMALL = 256 * 1024  # bytes of a value that is far from the limit, with any headers of ours
PAUSE = 0.005  # s between looks at whether those who follow have come on


class PassingTopics:
    """Keeps the records of *topics*, of which *placement* knows the partitions, in *tails*.

    The first record of each gets the offset *start*. Nothing that somebody who follows has not
    read is dropped, nor what nobody follows: appends wait then.
    """

    def __init__(
        self,
        topics: Mapping[str, Topic],
        placement: Placement,
        tails: Tails,
        time: LogTime,
        start: int,
    ) -> None:
        self._topics = topics
        self._placement = placement
        self._tails = tails
        self._time = time
        room = Room("passing", 0)  # appends wait for readers, so that it stays small
        for topic in topics:
            for partition in range(placement.counts[topic]):
                tails.add(TopicPartition(topic, partition), Tail(room, start))

    def __contains__(self, topic: str) -> bool:
        return topic in self._topics

    async def append(self, topic: str, records: Sequence[Record]) -> list[Position]:
        """Store *records*; those who follow are told at once."""
        for record in records:
            if len(record.value) > SMALL:
                check_size(size_of(record))
        places = [TopicPartition(topic, self._placement.place(topic, r)) for r in records]
        for where in set(places):
            await self._make_room(where)
        timestamp = int(self._time.stamp() * 1000)
        positions = []
        for where, record in zip(places, records, strict=True):
            tail = self._tails[where]
            offset = tail.next
            stored = stored_as(record, where, offset, timestamp)
            tail.extend((stored,))
            positions.append(Position(where.partition, offset))
        for where in set(places):
            self._tails.notify(where)
        return positions

    async def _make_room(self, where: TopicPartition) -> None:
        tail = self._tails[where]
        while tail.is_over(KEPT, KEPT_BYTES):
            topic = self._topics[where.topic]
            if Cleanup.COMPACT in topic.cleanup:
                kept = survivors(tail.all(), topic, self._time.now())
                tail.replace(kept, kept[0].offset if kept else tail.next)
                return
            readers = self._tails.followers(where)
            read = min((reader.positions()[where] for reader in readers), default=tail.start)
            tail.trim(KEPT, KEPT_BYTES, before=read)
            if tail.is_over(KEPT, KEPT_BYTES):
                await asyncio.sleep(PAUSE)
