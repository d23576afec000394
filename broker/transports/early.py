"""Records that are read while they are being stored, so that nobody waits for the disk twice.

They have their places in the order of what is stored: whatever is appended because of them is
stored after them or with them, and never without them, as a transaction that fails leaves them to
the next one (`writing.py`). Who appended them is told once they are durable, as ever.
"""

import math
from collections.abc import Set

from broker.transports.groups import Append, Group
from broker.transports.log import TopicPartition, stored_as
from broker.transports.steady import LogTime
from broker.transports.tails import Tails
from schemas.limits import MIB

MOST = 1000  # records that are read and not yet durable
MOST_BYTES = MIB  # of their values


class Early:
    """Shows records in *tails* ahead of the writer, on the event loop.

    None while the disk takes nothing, so that few are owed to those who have read them; and none
    while others are under way whose places only the writer knows.
    """

    def __init__(self, tails: Tails, time: LogTime) -> None:
        self._tails, self._time = tails, time
        self._records, self._bytes = 0, 0  # that are read and not yet durable
        self._latest = 0  # ms since 1970: time does not go back
        self._unplaced = 0  # appends that are under way, and were not shown
        self._fails = False

    def show(self, append: Append, early: tuple[str, bytes]) -> None:
        """Have *append*, which is given to the writer next, read now if that can be.

        Its records have the header *early*, or they may not be.
        """
        append.is_early = True
        if not self._may_show(append, early):
            self._unplaced += 1
            return
        self._count(append, 1)
        self._latest = max(self._latest, int(self._time.stamp() * 1000))
        for number, (record, shelf) in enumerate(zip(append.records, append.places, strict=True)):
            tail = self._tails[shelf.where]
            tail.sure = min(tail.sure, tail.next)
            timestamp = max(self._latest, shelf.timestamp)
            packed = append.packed(number)
            append.read.append(stored_as(record, shelf.where, tail.next, timestamp, packed))
            tail.append(append.read[-1])
        for where in {shelf.where for shelf in append.places}:
            self._tails.notify(where)

    def _may_show(self, append: Append, early: tuple[str, bytes]) -> bool:
        return (
            not (self._fails or self._unplaced)
            and self._records + len(append.records) <= MOST
            and self._bytes + _size(append) <= MOST_BYTES
            and all(early in record.headers for record in append.records)
            and all(isinstance(record.value, bytes) for record in append.records)
        )

    def _count(self, append: Append, sign: int) -> None:
        self._records += sign * len(append.records)
        self._bytes += sign * _size(append)

    def settle(self, group: Group) -> Set[TopicPartition]:
        """The *group* is durable; where there are records of it that were shown before."""
        self._fails = False
        shown = set()
        for append in group.appends:
            if not append.is_early:
                continue
            if not append.read:
                self._unplaced -= 1
                continue
            self._count(append, -1)
            for stored in append.read:
                where = TopicPartition(stored.topic, stored.partition)
                tail = self._tails[where]
                tail.sure = stored.offset + 1 if stored.offset + 1 < tail.next else math.inf
                shown.add(where)
        return shown

    def refuse(self, group: Group) -> None:
        """Nothing of the *group* was stored. What was shown of it never will be, as the log ends."""
        self._fails = True
        self._unplaced -= sum(append.is_early and not append.read for append in group.appends)


def _size(append: Append) -> int:
    return sum(len(record.value) for record in append.records)
