"""Jobs by their keys. Those that were restored stay as their snapshots have them until they change."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar, overload

from broker.core.snapshots import Snapshots
from schemas.decoding import UnreadableError, decode
from schemas.jobs import Job
from schemas.values import JobKey

T = TypeVar("T")

JOB = 1_700  # bytes that a job costs beside its inputs and its result, as was measured
CALL = 400  # … and each of its calls to a vendor
SNAPSHOT = 500  # bytes that a snapshot costs beside what is in it


class Jobs(Mapping[JobKey, Job]):
    """The newest state of each job, and how much memory they take.

    A snapshot takes a third of the memory, and nothing to begin with; to look at its job costs a
    microsecond. One that turns out to be damaged is dropped: *lost* hears of it, with why.
    """

    def __init__(self, lost: Callable[[JobKey, str], object]) -> None:
        self._jobs: dict[JobKey, Job] = {}
        self._snapshots = Snapshots()
        self._lost = lost
        self.weight = 0  # bytes

    def __len__(self) -> int:
        return len(self._jobs) + len(self._snapshots)

    def __iter__(self) -> Iterator[JobKey]:
        yield from self._jobs
        yield from map(JobKey.decode, list(self._snapshots))

    def __contains__(self, key: object) -> bool:
        return key in self._jobs or (
            bool(self._snapshots) and isinstance(key, JobKey) and key.encode() in self._snapshots
        )

    def __getitem__(self, key: JobKey) -> Job:
        if (job := self.get(key)) is None:
            raise KeyError(key)
        return job

    @overload
    def get(self, key: JobKey, /) -> Job | None: ...
    @overload
    def get(self, key: JobKey, default: Job | T, /) -> Job | T: ...
    def get(self, key: JobKey, default: object = None, /) -> object:
        """The job; *default* if there is none."""
        job = self._jobs.get(key)
        if job is None and self._snapshots:
            job = self._read(key)
        return default if job is None else job

    def __setitem__(self, key: JobKey, job: Job) -> None:
        before = self._jobs.get(key)
        self._jobs[key] = job
        if before is None:
            self._let_snapshot_go(key)
            self.weight += _weight(job)
        elif not _is_alike(before, job):
            self.weight += _weight(job) - _weight(before)

    def pop(self, key: JobKey) -> Job | None:
        """Let go of the job; what it was, if there was one."""
        job = self.get(key)
        self._let_go(key)
        return job

    def restore(self, snapshots: Snapshots) -> None:
        """Begin with *snapshots*, which nobody else may use any more."""
        self._snapshots = snapshots
        self.weight += SNAPSHOT * len(snapshots) + snapshots.size

    def changed(self) -> Iterable[Job]:
        """Those that are not as their snapshots have them."""
        return self._jobs.values()

    def _read(self, key: JobKey) -> Job | None:
        """The job as its snapshot has it."""
        snapshot = self._snapshots.get(key.encode())
        if snapshot is None:
            return None
        try:
            job: Job = decode(snapshot, Job)
        except UnreadableError as error:
            self._let_go(key)
            self._lost(key, error.message)
            return None
        return job

    def _let_go(self, key: JobKey) -> None:
        if (job := self._jobs.pop(key, None)) is not None:
            self.weight -= _weight(job)
        else:
            self._let_snapshot_go(key)

    def _let_snapshot_go(self, key: JobKey) -> None:
        if self._snapshots and (snapshot := self._snapshots.pop(key.encode())) is not None:
            self.weight -= SNAPSHOT + len(snapshot)


def _is_alike(one: Job, other: Job) -> bool:
    """Whether what weighs most is the very same, as after most events."""
    return one.details is other.details and one.value is other.value and one.calls is other.calls


def _weight(job: Job) -> int:
    inputs = len(job.details.params) if job.details else 0
    return JOB + len(job.value) + inputs + CALL * len(job.calls)
