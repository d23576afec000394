"""The ledger as it was taken into one local copy: how far, and what of it counts."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from broker.core.job import retagged
from broker.core.reader_rule import PartitionReader
from broker.gateway.copied_jobs import CopiedJobs
from broker.gateway.copied_sessions import CopiedSessions
from broker.gateway.cursors import Positions
from broker.gateway.recent import HotJob, KeptEvent
from broker.gateway.rows import PartitionRow
from schemas.jobs import Job
from schemas.ledger import Entry, SessionEntry
from schemas.records import Stored
from schemas.sessions import Session
from schemas.values import JobKey


class Content(Protocol):
    """What the copy is of."""

    @property
    def is_partial(self) -> bool:
        """Whether there are jobs that began before it does."""

    def doubt(self, key: JobKey) -> None:
        """Events of that job seem to be missing."""


class CopiedLedger:
    """Made anew with each file, of which *rows* say how far it reaches; *moved*: there is news."""

    def __init__(
        self,
        rows: Sequence[PartitionRow],
        jobs: CopiedJobs,
        sessions: CopiedSessions,
        content: Content,
        moved: asyncio.Event,
    ) -> None:
        self.positions = Positions({row.partition: row.next for row in rows})
        self.first = {row.partition: row.first for row in rows}
        self.readers = [PartitionReader(row.claim, row.holder) for row in rows]
        self._jobs, self._sessions = jobs, sessions
        self._content, self._moved = content, moved

    @property
    def rows(self) -> Sequence[PartitionRow]:
        """How far it reaches now."""
        return [
            PartitionRow(p, self.first[p], self.positions[p], reader.newest_claim, reader.holder)
            for p, reader in enumerate(self.readers)
        ]

    def take(self, record: Stored, entry: Entry) -> KeptEvent | None:
        """Take *entry*, which *record* of the ledger holds, if the reader rule lets it count."""
        jobs = self._jobs
        hot, event = jobs.locate(entry.key), entry.event
        fresh = hot is None or (hot.based and event.seq == 1)
        # The history of a job that this gateway never met may begin in the middle: the log
        # has dropped the rest.
        last_seq = event.seq - 1 if fresh or hot is None else hot.job.seq
        if not self._counts(record, entry, last_seq) or self._lacks(hot, entry):
            return None
        hot = jobs.happen(hot, entry, fresh=fresh)
        kept = KeptEvent(hot, record.partition, record.offset, event.seq, event.kind, record.value)
        jobs.recent.add(kept)
        jobs.unwritten.events.append(kept)
        jobs.change(hot)
        self._moved.set()
        return kept

    def take_session(self, record: Stored, entry: SessionEntry) -> None:
        """Take *entry*, which *record* of the ledger holds, if the reader rule lets it count."""
        session = self._sessions.find(entry.key)
        last_seq = entry.event.seq - 1 if session is None else session.seq
        if self._counts(record, entry, last_seq) and not self._lacks(session, entry):
            self._sessions.happen(session, entry)
            self._moved.set()

    def _counts(self, record: Stored, entry: Entry | SessionEntry, last_seq: int) -> bool:
        reader = self.readers[record.partition]
        if reader.counts(entry, last_seq):
            return True
        if entry.event.seq > last_seq and reader.permits(entry.epoch):
            self._content.doubt(entry.key)
        return False

    def _lacks(self, known: HotJob | Session | None, entry: Entry | SessionEntry) -> bool:
        """Whether *entry* is passed over, as what is *known* of it began before this copy does."""
        if known is not None or entry.event.seq == 1:
            return False
        if not self._content.is_partial:
            self._content.doubt(entry.key)
        return self._content.is_partial

    def retag(self, key: JobKey, tags: tuple[str, ...]) -> None:
        """The job that *key* names has these tags, if it is here."""
        if (hot := self._jobs.locate(key)) is not None:
            hot.job = retagged(hot.job, tags)
            self._jobs.change(hot)
            self._moved.set()

    def base(self, state: Job | Session) -> None:
        """Take a snapshot, for what the ledger does not tell any more."""
        is_new = self._jobs.base(state) if isinstance(state, Job) else self._sessions.base(state)
        if is_new:
            self._moved.set()

    def remove(self, key: JobKey, time: str) -> HotJob | None:
        """Forget the job that *key* names, and what the file has of its events, but not its id.

        It was deleted at *time*. What was known of it.
        """
        self._moved.set()
        return self._jobs.remove(key, time)
