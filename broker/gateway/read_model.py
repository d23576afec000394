"""The local copy that answers questions and replays history: memory first, then the file.

Whatever the tail has taken is seen by the next question. The file is written behind, in batches,
together with the position that it reaches.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import structlog

from broker.errors import UnavailableError
from broker.gateway.copied_jobs import CopiedJobs
from broker.gateway.copied_ledger import CopiedLedger
from broker.gateway.copied_sessions import CopiedSessions
from broker.gateway.copy_file import MADE_ANEW, CopyFile
from broker.gateway.on_file import OnFile
from broker.gateway.recent import HotJob, Recent
from broker.gateway.rows import Held, PartitionRow, Transaction
from broker.gateway.unwritten import Unwritten
from broker.gateway.writing_behind import WriteBehind
from schemas.jobs import Job
from schemas.limits import MIB
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
        self.recent = Recent(self._memory, [row.next for row in rows])
        self.copy += 1
        memory = self._looked_up
        self._jobs = CopiedJobs(self._file, self.copy, held, self.recent, memory)
        self.unwritten, self.tallies = self._jobs.unwritten, self._jobs.tallies
        self._sessions = CopiedSessions(self._file, self.unwritten)
        moved = self._behind.moved
        self.ledger = CopiedLedger(rows, self._jobs, self._sessions, self, moved)
        self.positions, self.first = self.ledger.positions, self.ledger.first
        self.filled, self.since = held.filled, ""
        self.doubted = self._file.damaged = False
        moved.set()  # whoever waits for a write hears of it

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

    # As it is followed

    def fill(self) -> None:
        """All that the log had at the start has been taken."""
        self.filled = True
        self._behind.moved.set()

    @property
    def crowded(self) -> bool:
        """Whether so much waits to be written that the tail has to wait too."""
        return self.recent.bytes > 2 * self._memory or len(self.unwritten.jobs) > MANY

    def transaction(self, unwritten: Unwritten) -> Transaction:
        """*unwritten*, with the position that the file reaches once it has that."""
        return unwritten.transaction(self.ledger.rows, filled=self.filled)

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

    def was_deleted(self, key: JobKey) -> bool:
        """Whether there was a job of that name, not long ago."""
        return self._jobs.was_deleted(key)

    def job(self, key: JobKey) -> Job | None:
        """The newest state of the job that *key* names."""
        return hot.job if (hot := self.locate(key)) else None

    def known_now(self, key: JobKey) -> Job | None:
        """The same; None too if that can not be known now."""
        try:
            return self.job(key)
        except UnavailableError:
            return None


def _unread(partition: int, start: int) -> PartitionRow:
    return PartitionRow(partition, start, start, 0, "")


def _from_the_first(partitions: int) -> dict[int, int]:
    return dict.fromkeys(range(partitions), 0)
