"""Events of many jobs, read on from a vector: from memory where it covers them, else the file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.gateway.cursors import Positions, Vector
from broker.gateway.filters import JobFilter
from broker.gateway.read_model import ReadModel

PAGE = 64 * 1024  # bytes that are read at once
LOOK = 2_000  # events in memory that are looked at for one page


@dataclass(slots=True)
class Found:
    """What matched, each with the position that holds after it; and the position to go on from.

    `missing`: nothing was found because what comes next is not kept any more.
    """

    cursor: Positions
    events: list[tuple[str, str, bytes]] = field(default_factory=list)  # id, kind, value
    size: int = 0
    missing: bool = False

    def add(self, partition: int, after: int, kind: str, value: bytes) -> None:
        """An event that matched."""
        self.cursor[partition] = after
        self.events.append((self.cursor.ident, kind, value))
        self.size += len(value)


def behind(cursor: Vector, end: Vector) -> Mapping[int, int]:
    """The partitions in which *cursor* has not reached *end*, with where it stands."""
    return {p: cursor[p] for p, offset in end.items() if cursor[p] < offset}


def kept_from(model: ReadModel, cursor: Vector) -> Vector:
    """Where to go on from *cursor* if what comes next is not kept."""
    return {p: max(offset, model.first[p]) for p, offset in cursor.items()}


def from_memory(model: ReadModel, wanted: JobFilter, cursor: Vector, end: Vector) -> Found | None:
    """A page; None if it has to come from the file."""
    todo = behind(cursor, end)
    if any(start < model.recent.floors[p] for p, start in todo.items()):
        return None
    found = Found(Positions(cursor))
    looked = 0
    for partition, start in todo.items():
        for event in model.recent.partitions[partition].since(start):
            if event.offset >= end[partition]:
                break
            if looked >= LOOK or found.size >= PAGE:
                return found
            looked += 1
            found.cursor[partition] = event.offset + 1
            if wanted.matches(event.hot.job) and not event.hot.gone:
                found.add(partition, event.offset + 1, event.kind, event.value)
        found.cursor[partition] = end[partition]
    return found


async def from_file(model: ReadModel, wanted: JobFilter, cursor: Vector, end: Vector) -> Found:
    """A page of one partition that memory does not cover."""
    found = Found(Positions(cursor))
    for partition, start in behind(cursor, end).items():
        if start < model.first[partition]:
            return Found(Positions(cursor), missing=True)
        stop = min(model.recent.floors[partition], end[partition])
        if start >= stop:
            continue
        rows, after = await model.on_file.scan(wanted, partition, start, stop, PAGE)
        if start < model.first[partition]:  # dropped meanwhile, so some may be missing
            return Found(Positions(cursor), missing=True)
        for row in rows:
            found.add(partition, row.offset + 1, row.kind, row.value)
        found.cursor[partition] = after
        break
    return found
