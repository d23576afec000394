"""Each job's newest state on the compacted topic, written a moment behind the ledger."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice

import structlog

from broker.appending import append_surely
from broker.core.book import Book
from broker.core.job import retagged
from broker.errors import LogUnavailableError, RecordTooLargeError
from broker.ledger.mending import true_states
from broker.ledger.progress import Cut, Progress
from broker.telemetry import times
from broker.transports.log import Log
from schemas.jobs import Job
from schemas.ledger import Checkpoint, Deletion, Shared, SpentByDay, Tagging
from schemas.sessions import Session
from schemas.state_records import checkpoint_record, snapshot_record
from schemas.topics import STATE
from schemas.values import JobKey

AT_ONCE = 500  # snapshots in one append
BEHIND = 20_000  # jobs whose snapshots are due: the writer waits for them

State = Job | Deletion | Session

logger = structlog.get_logger()


class SnapshotWriter:
    """Writes behind. An ended job leaves the book once its last snapshot is stored."""

    def __init__(
        self, log: Log, book: Book, epoch: int, progress: Progress, interval: float
    ) -> None:
        self._log = log
        self._book = book
        self._epoch = epoch
        self._progress = progress
        self._interval = interval
        self._due: dict[JobKey, State] = {}
        self._overwritten: set[JobKey] = set()
        self._forgotten: set[JobKey] = set()  # of those, the ones that have left the book
        self._tagged: dict[JobKey, Tagging] = {}  # since they have left it
        self._last: Cut | None = None
        self._flushing = asyncio.Lock()  # a checkpoint must not overtake what it covers

    @property
    def is_behind(self) -> bool:
        """Whether so many snapshots are due that nothing should be added."""
        return len(self._due) >= BEHIND

    def mark(self, jobs: Iterable[State | Tagging]) -> None:
        """These are the newest states, or what is new about jobs that have left the book; and they
        are on the ledger.
        """
        for job in jobs:
            if isinstance(job, Tagging):
                self._tagged[job.key] = job
            else:
                self._due[job.key] = job

    def overwritten(self, key: JobKey | None) -> None:
        """A lost broker has written a snapshot of that job, or a checkpoint: it is due again."""
        if key is None:
            self._last = None
        else:
            self._overwritten.add(key)

    def mend(self, book: Book) -> None:
        """Mark what was overwritten; *book* must be what is on the ledger, and nothing more."""
        keys, self._overwritten = self._overwritten, set()
        states = {key: book.state_of(key) for key in keys}
        self.mark(state for state in states.values() if state is not None)
        gone = {key for key, state in states.items() if state is None}
        self._forgotten |= {key for key in gone if book.knows(key)}

    async def run(self) -> None:
        """Write what is due, until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            await self.flush()

    async def flush(self) -> None:
        """Write what is due, and how far that reaches."""
        async with self._flushing:
            await self._flush()

    async def _flush(self) -> None:
        cut = self._progress.cut()  # taken with what is due: both say what the same turns have done
        shared = self._book.queues.sharing.told() if cut != self._last else Shared()
        spent = self._book.spending.told() if cut != self._last else {}
        due, self._due = self._due, {}
        try:
            await self._write_all(due)
            due = {}  # the log is searched, which takes its time, when all that is known is there
            if self._forgotten or self._tagged:
                due = await self._remembered()
                await self._write_all(due)
            if cut != self._last:
                await self._write_checkpoint(cut, shared, spent)
        except BaseException:  # cut short: what the next checkpoint covers must still be written
            self._due = due | self._due
            raise

    async def _remembered(self) -> dict[JobKey, State]:
        """The states of jobs that have left the book and were overwritten, or tagged, since."""
        keys, tagged = set(self._forgotten), dict(self._tagged)
        try:
            found = await true_states(self._log, keys | tagged.keys())
        except LogUnavailableError as error:  # the next flush will do
            logger.warning("snapshots.not_mended", code=error.code, error=error.message)
            return {}
        self._forgotten -= keys
        self._tagged = {key: it for key, it in self._tagged.items() if tagged.get(key) is not it}
        return {job.key: _as_tagged(job, tagged.get(job.key)) for job in found}

    async def _write_all(self, due: Mapping[JobKey, State]) -> None:
        jobs = iter(due.values())
        while chunk := list(islice(jobs, AT_ONCE)):
            await self._write(chunk)

    async def _write(self, jobs: Sequence[State]) -> None:
        time = times.now()
        records = [snapshot_record(job, self._epoch, time) for job in jobs]
        try:
            await append_surely(self._log, STATE, records)
        except RecordTooLargeError:
            await self._write_singly(jobs)
        for job in jobs:
            if job.terminal and job.key not in self._due:
                self._book.forget(job.key)

    async def _write_singly(self, jobs: Sequence[State]) -> None:
        for job in jobs:
            with suppress(RecordTooLargeError):
                record = snapshot_record(job, self._epoch, times.now())
                await append_surely(self._log, STATE, [record])
                continue
            logger.error("snapshot.too_large", job_id=job.key.job_id, tenant=job.tenant)

    async def _write_checkpoint(self, cut: Cut, shared: Shared, spent: SpentByDay) -> None:
        checkpoint = Checkpoint(
            epoch=self._epoch,
            ledger=cut.ledger,
            inputs=cut.inputs,
            tried={str(at): terms for at, terms in cut.tried.items()},
            mirrored=cut.mirrored,
            serving=cut.serving,
            shared=shared,
            spent=spent,
        )
        record = checkpoint_record(checkpoint, times.now())
        try:
            await append_surely(self._log, STATE, [record])
        except RecordTooLargeError as error:  # the one before holds: more is read at a start
            logger.error("checkpoint.too_large", topics=len(cut.inputs), error=error.message)
        self._last = cut


def _as_tagged(state: State, tagging: Tagging | None) -> State:
    return retagged(state, tagging.tags) if tagging and isinstance(state, Job) else state
