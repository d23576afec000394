"""The jobs of one local copy: those in memory first, then those in its file."""

from msgspec.structs import replace

from broker.core.job import apply
from broker.gateway.copy_file import CopyFile
from broker.gateway.looked_up import LookedUp
from broker.gateway.recent import HotJob, Recent
from broker.gateway.rows import Held
from broker.gateway.tallies import Tallies
from broker.gateway.unwritten import Unwritten
from schemas.jobs import Job
from schemas.ledger import Entry
from schemas.values import JobKey


class CopiedJobs:
    """Made anew with each file; *copy* is the number of this one, which *held* that at its opening.

    *memory*: bytes of what was looked up in it.
    """

    def __init__(self, file: CopyFile, copy: int, held: Held, recent: Recent, memory: int) -> None:
        self._file, self._copy = file, copy
        self._next_id = held.newest + 1
        self.recent, self.unwritten = recent, Unwritten()
        self.tallies = Tallies(held.tallies, self.unwritten.tallies)
        self.looked_up = LookedUp(file, copy, memory)

    def locate(self, key: JobKey) -> HotJob | None:
        """The job that *key* names, with its newest state."""
        if (recent := self.recent.jobs.get(key)) is not None:
            return recent
        if key in self.unwritten.gone:
            return None
        return self.looked_up.find(key)

    def happen(self, hot: HotJob | None, entry: Entry, *, fresh: bool) -> HotJob:
        """*hot*, or a new one, after *entry*; *fresh*: whatever was known counts for nothing."""
        if hot is None:
            return self._begin(entry.key, apply(None, entry), based=False)
        before, hot.job = hot.job, apply(None if fresh else hot.job, entry)
        hot.based = False
        self.tallies.move(before, hot.job)
        return hot

    def base(self, job: Job) -> bool:
        """Take a snapshot, for what the ledger does not tell any more; whether there was any."""
        hot = self.locate(job.key)
        if hot is None:
            hot = self._begin(job.key, job, based=True)
        elif hot.job.details is None and job.details is not None:
            begun = {"details": job.details, "program_id": job.program_id, "created": job.created}
            hot.job = replace(hot.job, **begun)
        else:
            return False
        self.change(hot)
        return True

    def _begin(self, key: JobKey, job: Job, *, based: bool) -> HotJob:
        hot = HotJob(self._next_id, key, job, based, self._copy)
        self._next_id += 1
        self.tallies.move(None, job)
        return hot

    def change(self, hot: HotJob) -> None:
        """*hot* has another state."""
        self.unwritten.change(hot)
        if self.recent.keep(hot):
            self.looked_up.forget(hot.key)

    def remove(self, key: JobKey, time: str) -> HotJob | None:
        """Forget the job that *key* names, which was deleted at *time*; what was known of it."""
        self.unwritten.deleted[key] = time
        hot = self.locate(key)
        if hot is not None:
            self.unwritten.remove(hot)
            self.tallies.leave(hot.job)
            self.recent.let_go(key)
            self.looked_up.forget(key)
        return hot

    def was_deleted(self, key: JobKey) -> bool:
        """Whether there was a job of that name, not long ago."""
        return key in self.unwritten.deleted or self._file.look(self._file.store.was_deleted, key)
