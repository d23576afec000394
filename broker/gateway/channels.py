"""What a stream carries: the events of one job, or of all jobs that match.

A channel knows how far its live subscribers have been told, and how a cursor behind that reads on.
Cursors are positions *after* which (a job's number) or *from* which (a vector) a stream goes on.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from broker.gateway.cursors import Vector, vector_id
from broker.gateway.filters import JobFilter
from broker.gateway.frames import frame
from broker.gateway.read_model import ReadModel
from broker.gateway.recent import HotJob, KeptEvent
from broker.gateway.scan import PAGE, Found, behind, from_file, from_memory, kept_from
from schemas.cloudevents import encode_stated
from schemas.jobs import Job

Cursor = Any  # of the channel's own kind


@dataclass(frozen=True, slots=True)
class Page:
    """The next frames of a subscriber that is behind, and where it stands after them."""

    data: bytes
    cursor: Cursor
    events: int
    gap: bool = False  # what comes next is not kept any more


class JobChannel:
    """The events of one job. A cursor is the number of the last one seen."""

    def __init__(self, model: ReadModel, hot: HotJob) -> None:
        self._model, self._first = model, hot.slim
        self.pending: list[KeptEvent] = []
        self.size = 0  # bytes of what is pending
        self.told = hot.job.seq
        self._next, self._terminal = hot.job.seq, hot.job.terminal
        self.ended = hot.job.terminal

    def push(self, event: KeptEvent) -> None:
        """*event* of this job has happened."""
        if event.seq <= self._next:
            return
        self.pending.append(event)
        self.size += len(event.value)
        self._next, self._terminal = event.seq, event.hot.job.terminal

    def frames(self) -> list[bytes]:
        """What is pending."""
        return [event.frame for event in self.pending]

    def mark_told(self) -> None:
        self.pending, self.size = [], 0
        self.told, self.ended = self._next, self._terminal

    def reached(self, cursor: int) -> bool:
        return cursor >= self.told

    @property
    def _hot(self) -> HotJob:
        """The job as it stands; as it stood, if it was deleted meanwhile."""
        return self._model.locate(self._first.key) or self._first

    def from_memory(self, cursor: int) -> Page | None:
        hot = self._hot
        if cursor + 1 < hot.kept_from:
            return None
        frames, size, after = [], 0, cursor
        for event in hot.events.since(cursor + 1):
            if event.seq > self.told or size >= PAGE:
                break
            frames.append(event.frame)
            size, after = size + len(event.frame), event.seq
        return Page(b"".join(frames), after, len(frames))

    async def from_file(self, cursor: int) -> Page:
        hot = self._hot
        upto = min(self.told, hot.kept_from - 1)
        rows = await self._model.on_file.history(hot, cursor, upto, PAGE)
        if not rows or rows[0].seq != cursor + 1:
            return Page(b"", cursor, 0, gap=cursor < self.told)
        frames = [frame(str(row.seq), row.kind, row.value) for row in rows]
        return Page(b"".join(frames), rows[-1].seq, len(rows))

    def gap(self, cursor: int) -> Page:
        snapshot = encode_stated(self._hot.job)
        return Page(frame(str(self.told), "gap", snapshot), self.told, 0)

    def ident(self, cursor: int) -> str:
        return str(cursor)

    def farewell(self) -> bytes:
        return frame(str(self.told), "end", orjson.dumps(end_of(self._hot.job)))


def end_of(job: Job) -> dict[str, Any]:
    """What a stream says when its job has ended."""
    said = {"job_id": job.job_id, "seq": job.seq, "state": job.state, "terminal": True}
    return said | ({"reason": job.reason} if job.reason else {})


class ManyChannel:
    """The events of all jobs that match. A cursor is a vector of offsets to go on from."""

    ended = False

    def __init__(self, model: ReadModel, wanted: JobFilter) -> None:
        self._model, self._wanted = model, wanted
        self.pending: list[tuple[str, KeptEvent]] = []  # with the position that holds after it
        self.size = 0  # bytes of what is pending
        self.told: Vector = dict(model.positions)

    def push(self, event: KeptEvent) -> None:
        """*event* has happened, to whichever job."""
        if self._wanted.matches(event.hot.job):
            self.pending.append((self._model.positions.ident, event))
            self.size += len(event.value)

    def frames(self) -> list[bytes]:
        """What is pending."""
        return [frame(ident, event.kind, event.value) for ident, event in self.pending]

    def mark_told(self) -> None:
        self.pending, self.size = [], 0
        self.told = dict(self._model.positions)

    def reached(self, cursor: Vector) -> bool:
        return not behind(cursor, self.told)

    def from_memory(self, cursor: Vector) -> Page | None:
        found = from_memory(self._model, self._wanted, cursor, self.told)
        return None if found is None else _framed(found)

    async def from_file(self, cursor: Vector) -> Page:
        return _framed(await from_file(self._model, self._wanted, cursor, dict(self.told)))

    def gap(self, cursor: Vector) -> Page:
        after = kept_from(self._model, cursor)
        missed = orjson.dumps({"from": vector_id(cursor), "to": vector_id(after)})
        return Page(frame(vector_id(after), "gap", missed), after, 0)

    def ident(self, cursor: Vector) -> str:
        return vector_id(cursor)

    def farewell(self) -> bytes:
        return b""


def _framed(found: Found) -> Page:
    data = b"".join(frame(*event) for event in found.events)
    return Page(data, found.cursor, len(found.events), found.missing)
