"""Snapshots that a lost broker has overwritten: what the state of an ended job really is."""

from collections.abc import Collection

from broker.ledger.reading import named_snapshot, read_snapshot
from broker.reading import pages, places_of
from broker.transports.log import Log
from schemas.jobs import Job
from schemas.ledger import Deletion
from schemas.records import Stored
from schemas.sessions import Session
from schemas.topics import STATE
from schemas.values import JobKey


async def true_states(log: Log, keys: Collection[JobKey]) -> list[Job | Deletion | Session]:
    """The newest snapshots of *keys* by epoch and number, read from all that are still there.

    Costs a read of all that stand in their partitions, so many keys are to share one. It is needed
    when a job is tagged that has left the book, as it does a moment after its end, and when a broker
    was thought dead, was not, and wrote about a job that has ended since.
    """
    wanted = {key.encode() for key in keys}
    best: dict[JobKey, tuple[tuple[int, int], Stored]] = {}
    where = {log.partition_of(STATE.name, key) for key in wanted}
    async for records in pages(
        log, [place for place in places_of(log, STATE) if place[1] in where]
    ):
        for record in records:
            if record.key not in wanted:  # nearly all: of those nothing else is looked at
                continue
            key, epoch, seq = named_snapshot(record)
            if key is None:
                continue
            if key not in best or (epoch, seq) >= best[key][0]:
                best[key] = (epoch, seq), record
    return [job for _, record in best.values() if (job := read_snapshot(record)) is not None]
