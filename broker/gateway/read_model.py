"""The local copy that answers questions and replays history: memory first, then the file.

Whatever the tail has taken is seen by the next question. The file is written behind, in batches,
together with the position that it reaches.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import structlog

from broker.core.job import retagged
from broker.core.reader_rule import PartitionReader
from broker.errors import UnavailableError
from broker.gateway.copied_jobs import CopiedJobs
from broker.gateway.copied_sessions import CopiedSessions
from broker.gateway.copy_file import MADE_ANEW, CopyFile
from broker.gateway.cursors import Positions
from broker.gateway.on_file import OnFile
from broker.gateway.recent import HotJob, KeptEvent, Recent
from broker.gateway.rows import Held, PartitionRow, Transaction
from broker.gateway.unwritten import Unwritten
from broker.gateway.writing_behind import WriteBehind
from schemas.jobs import Job
from schemas.ledger import Entry, SessionEntry
from schemas.limits import MIB
from schemas.records import Stored
from schemas.sessions import Session
from schemas.values import JobKey

logger = structlog.get_logger()

T = TypeVar("T")

MANY = 20_000  # jobs that wait to be written: enough for one transaction
ODD = 10_000  # jobs that are noticed to lack events
NOT_YET = "this gateway has read only the newest events so far; try again"


class ReadModel:
    """Jobs and events as the tail has taken them. Used on the event loop only.

    Raises `UnavailableError` when the file is found to be broken: it is `damaged` then, until `reset`.
    Where only something seems to be missing, it is `doubted` until then, and answers.
    *memory*: bytes of the newest events. *looked_up*: of the file's answers, a job or that there is none.
    """

    def __init__(self, cache: Path | None, memory: int, looked_up: int = 16 * MIB) -> None:
        self._file, self._memory, self._looked_up = CopyFile(cache), memory, looked_up
        self._odd: dict[JobKey, None] = {}  # jobs of which events are missing, as far as noticed
        self._behind = WriteBehind(self._file, self)
        self.on_file = OnFile(self._file, self)
        self.copy = 0  # which file this is: ids mean nothing in another one
        self._begin(Held(), {})

    def _begin(self, held: Held, starts: Mapping[int, int]) -> None:
        """Go on with what is *held*; of a partition of which nothing is, from where it *starts*."""
        rows = [held.partitions.get(p) or _unread(p, starts[p]) for p in sorted(starts)]
        self.positions = Positions({row.partition: row.next for row in rows})
        self.first = {row.partition: row.first for row in rows}
        self.readers = [PartitionReader(row.claim, row.holder) for row in rows]
        self.recent = Recent(self._memory, [row.next for row in rows])
        self.copy += 1
        memory = self._looked_up
        self._jobs = CopiedJobs(self._file, self.copy, held, self.recent, memory)
        self.unwritten, self.tallies = self._jobs.unwritten, self._jobs.tallies
        self._sessions = CopiedSessions(self._file, self.unwritten)
        self.filled, self.since = held.filled, ""
        self.doubted = self._file.damaged = False
        self._behind.moved.set()  # whoever waits for a write hears of it

    async def open(self, identity: str, partitions: int) -> None:
        """Open the file, or begin one for the log of that *identity*.

        Raises `UnavailableError` if there can be none now, and `SettingsError`.
        """
        held = await self._file.open(identity)
        if held.partitions and set(held.partitions) != set(range(partitions)):
            await self.reset(identity, partitions)
            return
        self._begin(held, _from_the_first(partitions))
        await self._file.use(held)

    async def begin_at(
        self, starts: Mapping[int, int], since: str, identity: str, _partitions: int
    ) -> None:
        """Answer from another file, of the events from *starts* on, until the next `open`.

        Jobs that were created after *since* are all there. Raises `UnavailableError`.
        """
        await self._file.let_go()
        self._file.turn_to_the_other()
        self._begin(Held(), starts)
        self.since = since
        await self._file.begin(identity)

    @property
    def is_partial(self) -> bool:
        """Whether what is not here may still exist: jobs that were created before `since`."""
        return self._file.is_other

    @property
    def path(self) -> Path:
        """Where the file is that all of the log goes into."""
        return self._file.path

    @property
    def damaged(self) -> bool:
        """Whether the file was found to be broken."""
        return self._file.damaged

    async def reset(
        self, identity: str, partitions: int, firsts: Mapping[int, int] | None = None
    ) -> None:
        """Forget everything, and begin another file; the log's oldest records are those at *firsts*.

        Raises `UnavailableError` if there can be none.
        """
        await self._file.let_go()
        self._begin(Held(), firsts or _from_the_first(partitions))
        await self._file.begin(identity)

    async def close(self) -> None:
        """Write what is left, and let go of the file; throw away what is not to be trusted."""
        doubted = self.damaged or self.doubted
        await self._behind.finish(trusted=not doubted)
        await self._file.close(discard=doubted)

    # Taking in

    def take(self, record: Stored, entry: Entry) -> KeptEvent | None:
        """Take *entry*, which *record* of the ledger holds, if the reader rule lets it count."""
        hot = self.locate(entry.key)
        event = entry.event
        fresh = hot is None or (hot.based and event.seq == 1)
        # The history of a job that this gateway never met may begin in the middle: the log
        # has dropped the rest.
        last_seq = event.seq - 1 if fresh or hot is None else hot.job.seq
        reader = self.readers[record.partition]
        if not reader.counts(entry, last_seq):
            if event.seq > last_seq and reader.permits(entry.epoch):
                self.doubt(entry.key)
            return None
        if hot is None and event.seq > 1:
            if self.is_partial:
                return None  # it began before this does
            self.doubt(entry.key)
        hot = self._jobs.happen(hot, entry, fresh=fresh)
        kept = KeptEvent(hot, record.partition, record.offset, event.seq, event.kind, record.value)
        self.recent.add(kept)
        self.unwritten.events.append(kept)
        self._jobs.change(hot)
        self._behind.moved.set()
        return kept

    def retag(self, key: JobKey, tags: tuple[str, ...]) -> None:
        """The job that *key* names has these tags, if it is here."""
        if (hot := self.locate(key)) is not None:
            hot.job = retagged(hot.job, tags)
            self._jobs.change(hot)
            self._behind.moved.set()

    def take_session(self, record: Stored, entry: SessionEntry) -> None:
        """Take *entry*, which *record* of the ledger holds, if the reader rule lets it count."""
        session, seq = self._sessions.find(entry.key), entry.event.seq
        last_seq = seq - 1 if session is None else session.seq
        reader = self.readers[record.partition]
        if not reader.counts(entry, last_seq):
            if seq > last_seq and reader.permits(entry.epoch):
                self.doubt(entry.key)
            return
        if session is None and seq > 1:
            if self.is_partial:
                return  # it began before this does
            self.doubt(entry.key)
        self._sessions.happen(session, entry)
        self._behind.moved.set()

    def base(self, state: Job | Session) -> None:
        """Take a snapshot, for what the ledger does not tell any more."""
        is_new = self._jobs.base(state) if isinstance(state, Job) else self._sessions.base(state)
        if is_new:
            self._behind.moved.set()

    def fill(self) -> None:
        """All that the log had at the start has been taken."""
        self.filled = True
        self._behind.moved.set()

    def remove(self, key: JobKey, time: str) -> HotJob | None:
        """Forget the job that *key* names, and what the file has of its events, but not its id.

        It was deleted at *time*. What was known of it.
        """
        self._behind.moved.set()
        return self._jobs.remove(key, time)

    def was_deleted(self, key: JobKey) -> bool:
        """Whether there was a job of that name, not long ago."""
        return self._jobs.was_deleted(key)

    @property
    def crowded(self) -> bool:
        """Whether so much waits to be written that the tail has to wait too."""
        return self.recent.bytes > 2 * self._memory or len(self.unwritten.jobs) > MANY

    def transaction(self, unwritten: Unwritten) -> Transaction:
        """*unwritten*, with the position that the file reaches once it has that."""
        return unwritten.transaction(_rows_of(self), filled=self.filled)

    async def write_behind(self) -> None:
        """Keep the file up, for as long as the model is used."""
        await self._behind.run()

    async def flush(self) -> None:
        """Until everything taken so far is in the file."""
        await self._behind.flush()

    async def room(self) -> None:
        """Until there is room for more: the tail must not run away from the file."""
        while self.crowded and not self.damaged:
            await self.flush()

    async def prune(
        self, firsts: Mapping[int, int], ended_before: str, deleted_before: str = ""
    ) -> None:
        """Drop events that the log has dropped, and jobs that ended before that time."""
        self.first |= firsts  # before anything is gone: who reads meanwhile sees that by it
        await self._file.prune(firsts, ended_before, deleted_before)
        self._jobs.looked_up.clear()
        self._behind.moved.set()

    # Questions

    def locate(self, key: JobKey) -> HotJob | None:
        """The job that *key* names, with its newest state."""
        return self._jobs.locate(key)

    def expect(self, key: JobKey) -> None:
        """The job that *key* names is new, and will wait: nobody has to look for it in the file."""
        self.tallies.expect(key)
        if key not in self.recent.jobs:
            self._jobs.looked_up.has_nobody(key)

    def expect_no_more(self, key: JobKey) -> None:
        """That job may never come."""
        self.tallies.expect_no_more(key)

    def doubt(self, key: JobKey) -> None:
        """Events of that job seem to be missing; once, as it may be the ledger that lacks them."""
        if key in self._odd:
            return
        self._odd[key] = None
        if len(self._odd) > ODD:
            del self._odd[next(iter(self._odd))]
        if self.filled and not self.doubted:
            logger.error("gateway.cache_doubted", job_id=key.job_id)
            self.doubted = True

    def check_whole_for(self, what: object) -> None:
        """Raise `UnavailableError` if *what*, which is not here, may be there nevertheless."""
        if self.is_partial:
            raise UnavailableError(f"{what}: {NOT_YET}")
        if not self.filled:
            raise UnavailableError(f"{what}: {MADE_ANEW}")

    def session(self, key: JobKey) -> Session | None:
        """The newest state of the session that *key* names."""
        return self._sessions.find(key)

    def job(self, key: JobKey) -> Job | None:
        """The newest state of the job that *key* names."""
        return hot.job if (hot := self.locate(key)) else None


def _unread(partition: int, start: int) -> PartitionRow:
    return PartitionRow(partition, start, start, 0, "")


def _rows_of(model: ReadModel) -> list[PartitionRow]:
    return [
        PartitionRow(p, model.first[p], model.positions[p], reader.newest_claim, reader.holder)
        for p, reader in enumerate(model.readers)
    ]


def _from_the_first(partitions: int) -> dict[int, int]:
    return dict.fromkeys(range(partitions), 0)
