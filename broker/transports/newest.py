"""What an embedded log keeps in memory of what it stores: the newest records of each partition."""

from broker.budget import Room
from broker.transports.log import TopicPartition
from broker.transports.tail import Tail
from broker.transports.tails import Tails
from schemas.limits import MIB

TAIL_BYTES = 16 * MIB  # of one partition


class Newest:
    """Those of *tails* whose records last: of each *count* or more, of all of them *memory* bytes."""

    def __init__(self, tails: Tails, memory: int, count: int) -> None:
        self._all, self._count = tails, count
        self.room = Room("log", memory)
        self._tails: list[Tail] = []

    def add(self, where: TopicPartition, start: int) -> None:
        """Keep the records of *where* from offset *start* on."""
        tail = Tail(self.room, start)
        self._tails.append(tail)
        self._all.add(where, tail)

    def trim(self, where: TopicPartition) -> None:
        """There are more at *where*: forget the oldest, there and wherever there are most."""
        self._all[where].trim(self._count, TAIL_BYTES)
        while self.room.is_over and max(self._tails, key=_size).halve():
            pass


def _size(tail: Tail) -> int:
    return tail.size
