"""What the embedded log stores in one transaction."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from broker.transports.database import Row, Shelf
from broker.transports.log import Position, TopicPartition, stored_as
from schemas.records import Record, Stored

FEW = 12  # records, which two jobs make at once: they are no crowd
RESTED = 2.0  # times as long as a larger group took to be stored, the next one is waited for
LONGEST_REST = 0.005  # s


@dataclass(slots=True)
class Append:
    """Records that wait to be stored; of each its partition, and its headers as they are stored.

    *is_packed*: `pack` has made those.
    *read*: as they were read already, if they were. *is_early*: of a topic where that may be.
    """

    records: Sequence[Record]
    places: list[Shelf]
    headers: list[bytes]
    is_packed: bool
    done: "asyncio.Future[list[Position]]"
    read: list[Stored] = field(default_factory=list)
    is_early: bool = False

    def packed(self, number: int) -> bytes | None:
        """The headers of that record, if `pack` has made them."""
        return self.headers[number] if self.is_packed else None


@dataclass(frozen=True, slots=True)
class Between:
    """What is done between two transactions."""

    work: Callable[[], Any]
    done: "Future[Any]" = field(default_factory=Future)


@dataclass(slots=True)
class Group:
    """Appends that are stored together. *stored*: what nobody has read yet."""

    appends: list[Append]
    between: list[Between] = field(default_factory=list)
    stored: dict[TopicPartition, list[Stored]] = field(default_factory=dict)
    positions: list[list[Position]] = field(default_factory=list)

    def number(self, now: int) -> dict[str, list[Row]]:
        """Give the records their offsets, at *now* (ms since 1970); the rows to insert, by table."""
        rows: dict[str, list[Row]] = {}
        for append in self.appends:
            positions = []
            for number, (record, shelf, headers) in enumerate(
                zip(append.records, append.places, append.headers, strict=True)
            ):
                if append.read:
                    stored = append.read[number]
                else:
                    packed, time = append.packed(number), max(now, shelf.timestamp)
                    stored = stored_as(record, shelf.where, shelf.next, time, packed)
                    self.stored.setdefault(shelf.where, []).append(stored)
                shelf.next, shelf.timestamp = stored.offset + 1, stored.timestamp
                rows.setdefault(shelf.table, []).append(
                    (stored.offset, stored.timestamp, record.key, record.value, headers)
                )
                positions.append(Position(shelf.where.partition, stored.offset))
            self.positions.append(positions)
        return rows

    def rest(self, took: float) -> float:
        """Seconds until the next group is taken, if this one *took* so many to be stored.

        Where much is appended, more of it then shares a transaction, and all that follows from that
        is done once for more of it. Who appends alone waits for nothing.
        """
        records = sum(len(append.records) for append in self.appends)
        return 0.0 if records <= FEW else min(RESTED * took, LONGEST_REST)

    def acknowledge(self) -> None:
        """Tell who appended where their records are."""
        for append, positions in zip(self.appends, self.positions, strict=True):
            if not append.done.done():  # its caller may have been cancelled
                append.done.set_result(positions)

    def refuse(self, error: Exception) -> None:
        """Tell who appended that it failed."""
        for append in self.appends:
            if not append.done.done():
                append.done.set_exception(error)
