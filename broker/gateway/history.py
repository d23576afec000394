"""What has happened, from wherever it is kept: from memory, else from the file, else a gap.

A selection is the events of one job, or of all jobs that match, as far as they were told. A cursor
is a position *after* which (a job's number) or *from* which (a vector) it goes on.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from broker.errors import EventsGoneError
from broker.gateway.cursors import Positions, Vector, vector_id
from broker.gateway.filters import JobFilter
from broker.gateway.read_model import ReadModel
from broker.gateway.recent import HotJob, KeptEvent
from broker.gateway.rows import StoredEvent
from schemas.cloudevents import encode_stated
from schemas.jobs import Job

PAGE = 64 * 1024  # bytes that are read at once
LOOK = 2_000  # events in memory that are looked at for one page

Cursor = Any  # of the selection's own kind
Told = tuple[str, StoredEvent]  # an event, with the position that holds after it


@dataclass(slots=True)
class Page:
    """What comes next, and the position to go on from.

    `missing`: nothing was found because what comes next is not kept any more.
    """

    cursor: Cursor
    events: list[Told] = field(default_factory=list)
    size: int = 0
    missing: bool = False

    def add(self, at: str, event: StoredEvent) -> None:
        """The next event."""
        self.events.append((at, event))
        self.size += len(event.value)


@dataclass(frozen=True, slots=True)
class Gap:
    """What is said in place of what is not kept any more, and the position to go on from."""

    cursor: Cursor
    said: bytes


class OneJob:
    """The events of one job. A cursor is the number of the last one seen."""

    def __init__(self, model: ReadModel, hot: HotJob) -> None:
        self._model, self._last, self.key = model, hot, hot.key
        self._newest, self._terminal = hot.job.seq, hot.job.terminal
        self.mark_told()

    def mark_told(self) -> None:
        """Everything that was taken has been told."""
        self.told, self.ended = self._newest, self._terminal

    def take(self, event: KeptEvent) -> str | None:
        """*event* of this job has happened: its position, if it is news."""
        if event.seq <= self._newest:
            return None
        self._newest, self._terminal = event.seq, event.hot.job.terminal
        if self._terminal:
            self._last = event.hot.slim  # it may be deleted from now on
        return str(event.seq)

    def reached(self, cursor: int) -> bool:
        """Whether *cursor* is where it was told to."""
        return cursor >= self.told

    def ident(self, cursor: int) -> str:
        """*cursor* as an event id."""
        return str(cursor)

    @property
    def at(self) -> str:
        """Where it was told to."""
        return str(self.told)

    @property
    def _hot(self) -> HotJob:
        """The job as it stands; as it stood, if it was deleted meanwhile."""
        return self._model.locate(self.key) or self._last

    @property
    def kept_from(self) -> int:
        """The number from which on all its events are in memory."""
        return self._hot.kept_from

    def from_memory(self, cursor: int, budget: int) -> Page | None:
        """A page of about *budget* bytes; None if it has to come from the file."""
        hot, page = self._hot, Page(cursor)
        if cursor + 1 < hot.kept_from:
            return None
        for event in hot.events.since(cursor + 1):
            if event.seq > self.told or page.size >= budget:
                break
            page.add(str(event.seq), event)
            page.cursor = event.seq
        return page

    async def from_file(self, cursor: int, budget: int) -> Page:
        """A page of what memory does not cover."""
        hot, page = self._hot, Page(cursor)
        upto = min(self.told, hot.kept_from - 1)
        rows = await self._model.on_file.history(hot, cursor, upto, budget)
        if not rows or rows[0].seq != cursor + 1:
            page.missing = not self.reached(cursor)
            return page
        for row in rows:
            page.add(str(row.seq), row)
        page.cursor = rows[-1].seq
        return page

    def gap(self, _cursor: int) -> Gap:
        """The job as it stands."""
        return Gap(self.told, encode_stated(self._hot.job))

    def end(self) -> bytes:
        """What is said when the job has ended."""
        return orjson.dumps(end_of(self._hot.job))


def end_of(job: Job) -> dict[str, Any]:
    """What a stream says when its job has ended."""
    said = {"job_id": job.job_id, "seq": job.seq, "state": job.state, "terminal": True}
    return said | ({"reason": job.reason} if job.reason else {})


class ManyJobs:
    """The events of all jobs that match. A cursor is a vector of offsets to go on from."""

    ended = False

    def __init__(self, model: ReadModel, wanted: JobFilter) -> None:
        self._model, self.key = model, wanted
        self.mark_told()

    def mark_told(self) -> None:
        """Everything that this gateway has taken has been told."""
        self.told: Vector = dict(self._model.positions)

    def take(self, event: KeptEvent) -> str | None:
        """*event* has happened, to whichever job: the position after it, if it matches."""
        return self._model.positions.ident if self.key.matches(event.hot.job) else None

    def reached(self, cursor: Vector) -> bool:
        """Whether *cursor* is where it was told to."""
        return not self._behind(cursor)

    def ident(self, cursor: Vector) -> str:
        """*cursor* as an event id."""
        return vector_id(cursor)

    @property
    def at(self) -> str:
        """Where it was told to."""
        return vector_id(self.told)

    def _behind(self, cursor: Vector) -> Mapping[int, int]:
        """The partitions in which *cursor* is behind, with where it stands."""
        return {p: cursor[p] for p, offset in self.told.items() if cursor[p] < offset}

    def from_memory(self, cursor: Vector, budget: int) -> Page | None:
        """A page of about *budget* bytes; None if it has to come from the file."""
        recent, todo = self._model.recent, self._behind(cursor)
        if any(start < recent.floors[p] for p, start in todo.items()):
            return None
        at = Positions(cursor)
        page, looked = Page(at), 0
        for partition, start in todo.items():
            for event in recent.partitions[partition].since(start):
                if event.offset >= self.told[partition]:
                    break
                if looked >= LOOK or page.size >= budget:
                    return page
                looked += 1
                at[partition] = event.offset + 1
                if self.key.matches(event.hot.job) and not event.hot.gone:
                    page.add(at.ident, event)
            at[partition] = self.told[partition]
        return page

    async def from_file(self, cursor: Vector, budget: int) -> Page:
        """A page of one partition that memory does not cover."""
        model, at = self._model, Positions(cursor)
        page = Page(at)
        for partition, start in self._behind(cursor).items():
            if start < model.first[partition]:
                return Page(at, missing=True)
            stop = min(model.recent.floors[partition], self.told[partition])
            if start >= stop:
                continue
            rows, after = await model.on_file.scan(self.key, partition, start, stop, budget)
            if start < model.first[partition]:  # dropped meanwhile, so some may be missing
                return Page(at, missing=True)
            for row in rows:
                at[partition] = row.offset + 1
                page.add(at.ident, row)
            at[partition] = after
            break
        return page

    def gap(self, cursor: Vector) -> Gap:
        """From where to where."""
        after = {p: max(offset, self._model.first[p]) for p, offset in cursor.items()}
        said = {"from": vector_id(cursor), "to": vector_id(after)}
        return Gap(after, orjson.dumps(said))

    def end(self) -> bytes:
        """It has none."""
        return b""


Selection = OneJob | ManyJobs


async def page(selection: Selection, cursor: Cursor, budget: int = PAGE) -> Page:
    """What comes after *cursor*, about *budget* bytes of it."""
    found = selection.from_memory(cursor, budget)
    return await selection.from_file(cursor, budget) if found is None else found


async def everything(job: OneJob, budget: int) -> AsyncIterator[StoredEvent]:
    """All that is kept of a job's history. Raises `EventsGoneError` if that is nothing."""
    cursor = 0
    while not job.reached(cursor):
        found = await page(job, cursor, budget)
        for _, event in found.events:
            yield event
        cursor = job.kept_from - 1 if found.missing else found.cursor
        if found.missing and job.reached(cursor):
            raise EventsGoneError(
                f"the events of job {job.key.job_id} are not kept any more, so nobody knows its "
                "interim results and logs; its details and its result are kept"
            )
