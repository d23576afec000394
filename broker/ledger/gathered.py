"""Records that have come and are not yet taken, within bounds."""

import asyncio
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest

from broker.budget import Room, weight
from schemas.limits import MIB
from schemas.records import Stored
from schemas.topics import REQUESTS

GATHERED_BYTES = 32 * MIB  # of one kind
OF_A_TENANT = 2 * MIB  # bytes of what one with a topic of its own asks for


def _room() -> Room:
    return Room("gathered", GATHERED_BYTES)


@dataclass
class Gathered:
    """Records of one kind: *most*, more wait in the log."""

    most: int
    memory: Room = field(default_factory=_room)
    records: deque[Stored] = field(default_factory=deque)
    room: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, records: Sequence[Stored]) -> None:
        self.records.extend(records)
        self.memory.hold(sum(map(weight, records)))
        if len(self.records) >= self.most or self.memory.is_over:
            self.room.clear()

    def put_back(self, records: Sequence[Stored]) -> None:
        self.records.extendleft(reversed(records))
        self.memory.hold(sum(map(weight, records)))

    def take(self, limit: int, size: float = math.inf) -> list[Stored]:
        """The next *limit*, or fewer with *size* bytes: who is small waits for few that are large."""
        taken: list[Stored] = []
        for record in islice(self.records, limit):
            taken.append(record)
            if (size := size - len(record.value)) < 0:
                break
        for _ in taken:
            self.records.popleft()
        self.memory.give_back(sum(map(weight, taken)))
        if len(self.records) < self.most and not self.memory.is_over:
            self.room.set()
        return taken


class GatheredRequests:
    """What tenants ask for, by topic: however much one asks for, the others are read as well."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._of = {REQUESTS.name: Gathered(most)}

    @property
    def topics(self) -> Iterable[str]:
        """Those of which something was gathered, or may be."""
        return self._of.keys()

    def of(self, topic: str) -> Gathered:
        """What has come on *topic*."""
        if topic not in self._of:
            self._of[topic] = Gathered(self._most, Room("gathered", OF_A_TENANT))
        return self._of[topic]

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come."""
        return not any(each.records for each in self._of.values())

    def take(self, limit: int, size: float) -> list[Stored]:
        """About the next *limit*, of each tenant as many as of another, and in turns."""
        waiting = [each for each in self._of.values() if each.records]
        if len(waiting) == 1:
            return by_arrival(waiting[0].take(limit, size))
        share = max(1, limit // max(1, len(waiting)))
        shares = [by_arrival(each.take(share, size / len(waiting))) for each in waiting]
        return [record for turn in zip_longest(*shares) for record in turn if record is not None]

    def put_back(self, records: Sequence[Stored]) -> None:
        """*records* were taken, and come first again."""
        shares: dict[str, list[Stored]] = {}
        for record in records:
            shares.setdefault(record.topic, []).append(record)
        for topic, share in shares.items():
            self._of[topic].put_back(share)


def by_arrival(records: list[Stored]) -> list[Stored]:
    """By the time at which they were stored, but for each partition in its own order."""
    newest: dict[int, int] = {}
    times = []
    for record in records:
        newest[record.partition] = time = max(newest.get(record.partition, 0), record.timestamp)
        times.append(time)
    if len(newest) < 2:
        return records
    order = sorted(range(len(records)), key=times.__getitem__)
    return [records[index] for index in order]
