"""What the ledger says now: live jobs, who waits, which attempts run.

`record` and `retag` are the only ways in. Recovery and the active broker share it, so that they can not disagree.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import merge
from itertools import chain, islice
from typing import TypeVar

from broker.core.attempts import Attempts, LiveAttempt
from broker.core.ended import Ended
from broker.core.job import apply, retagged
from broker.core.jobs import Jobs
from broker.core.lanes import UNPLACED
from broker.core.open_sessions import Sessions
from broker.core.queues import Queues
from broker.core.reminders import Reminders
from broker.core.sharing import Sharing, same
from broker.core.usage import Usage
from schemas.events import AnyEvent, Dispatched, Parked, Retried
from schemas.jobs import Job
from schemas.ledger import Entry, InputPosition, SessionEntry
from schemas.sessions import Session, session_key
from schemas.tenants import NO_QUOTA, Quota
from schemas.values import JobKey, Reason, State

RUN = 2_000  # jobs that are sorted at once
_RUNS = (State.RUNNING, State.CANCELLING)

T = TypeVar("T")
Lost = Callable[[JobKey, str], object]  # a job, and why it can not be read


class Book:
    """The newest state of every job that matters: those that live, and ended ones until `forget`."""

    def __init__(
        self,
        remembered: int = 1_000_000,
        lost: Lost | None = None,
        weight_of: Callable[[str], float] = same,
    ) -> None:
        self.queues = Queues(Sharing(weight_of))
        self.jobs = Jobs(self._lose)
        self.sessions = Sessions()
        self._lost = lost  # hears of snapshots that turned out to be damaged
        self.attempts = Attempts()
        self._ended = Ended(remembered)
        self._origins: dict[JobKey, InputPosition] = {}  # of the requests that made live jobs
        self.reminders = Reminders()

    @property
    def weight(self) -> int:
        """Bytes of the jobs that it holds, with their inputs and results, and of sessions."""
        return self.jobs.weight + self.sessions.weight

    def knows(self, key: JobKey) -> bool:
        """Whether there is, or lately was, a job or session of that name."""
        return key in self.jobs or key in self.sessions or self.has_ended(key.encode())

    def state_of(self, key: JobKey) -> Job | Session | None:
        """The newest state of the job or session of that name."""
        return self.jobs.get(key) or self.sessions.get(key)

    def has_ended(self, key: bytes) -> bool:
        """Whether a job whose records have that *key* has ended, and not too long ago."""
        return key in self._ended

    def last_seq(self, key: JobKey) -> int | None:
        """The number of its newest event; None when it has ended and was forgotten."""
        if state := self.state_of(key):
            return state.seq
        return None if self.has_ended(key.encode()) else 0

    def came_after(self, key: JobKey, position: InputPosition) -> bool:
        """Whether the job was asked for later than *position*: what stood there was not about it."""
        origin = self._origins.get(key)
        return (
            origin is not None
            and (origin.topic, origin.partition) == (position.topic, position.partition)
            and origin.offset > position.offset
        )

    def record(self, entry: Entry) -> Job:
        """Take in what is on the ledger, or is about to be. Raises before anything has changed."""
        key = entry.key
        before = self.jobs.get(key)
        after = apply(before, entry)
        self.jobs[key] = after
        if after.details is not None and after.details.session_id is not None:
            self.sessions.note(after, entry.event)
        if isinstance(entry.event, Parked):
            self._take_out(before or after, entry.event)  # nothing runs, or waits for a slot
            return after
        if before is not None and before.state is after.state:
            return after  # most events change no index
        self._leave(before, after, entry)
        again = after.attempt > 0 and not _waits_for_store(entry)
        self._enter(after, key, entry.event, again=again)
        return after

    def record_session(self, entry: SessionEntry) -> Session:
        """Take in what is on the ledger of a session, or is about to be."""
        after = self.sessions.record(entry)
        if after.terminal:
            self._ended.add(entry.key.encode())
        return after

    def retag(self, key: JobKey, tags: tuple[str, ...]) -> Job | None:
        """The job has these tags: what it is then; None if it is not here."""
        job = self.jobs.get(key)
        if job is not None:
            self.jobs[key] = job = retagged(job, tags)
        return job

    def restore(self, job: Job) -> None:
        """Take in a job that is not known yet, as a snapshot has it."""
        key = job.key
        self.jobs[key] = job
        if job.details is not None and job.details.session_id is not None and not job.terminal:
            self.sessions.join(session_key(job.tenant, job.details.session_id), key)
        self._enter(job, key, None, again=job.attempt > 0)

    def remember(self, keys: Iterable[bytes]) -> None:
        """The jobs whose records have those *keys* have ended."""
        self._ended.add_all(keys)

    def forget(self, key: JobKey) -> None:
        """Let go of an ended job or session; only that it has been stays known."""
        self.sessions.forget(key)
        job = self.jobs.pop(key)
        if job is not None:
            self._take_out(job, None)
        self._ended.add(key.encode())

    def usage_of(self, tenant: str, quota: Quota = NO_QUOTA) -> Usage:
        """What *tenant* has now, beside its *quota*."""
        return Usage(tenant, self.queues.count_of(tenant), self.attempts.count_of(tenant), quota)

    def attempts_of(self, worker: str) -> Mapping[JobKey, LiveAttempt]:
        """The attempts that *worker* is to have under way."""
        return self.attempts.of_worker(worker)

    def workers(self) -> list[str]:
        """Those that are to have attempts under way."""
        return self.attempts.workers

    # Indexes

    def _leave(self, before: Job | None, after: Job, entry: Entry) -> None:
        """Take the job out of where it was before the event."""
        if before is None:
            if entry.input is not None:
                self._origins[after.key] = entry.input
            return
        if before.state is not after.state or isinstance(entry.event, Dispatched):
            self._take_out(before, entry.event, keep_attempt=after.state in _RUNS)

    def _lose(self, key: JobKey, why: str) -> None:
        self.queues.discard(key)
        if self._lost is not None:
            self._lost(key, why)

    def _take_out(self, job: Job, event: AnyEvent | None, keep_attempt: bool = False) -> None:
        self.queues.discard(job.key)
        if keep_attempt or (attempt := self.attempts.end(job.key)) is None:
            return
        if event is not None and attempt.charge is not None:
            changed = self.queues.sharing.end(job, attempt.backend, attempt.charge, event)
            self.queues.touch(attempt.backend, changed)
        self.queues.release(job.tenant)

    def _enter(self, after: Job, key: JobKey, event: AnyEvent | None, *, again: bool) -> None:
        if after.terminal:
            self._ended.add(key.encode())
            self._origins.pop(key, None)
        elif after.state is State.QUEUED:
            details = after.details
            self.queues.add(
                key,
                after.backend or UNPLACED,
                details.priority if details else 0,
                again=again,
            )
        elif after.worker is not None and key not in self.attempts:
            attempt = self.attempts.begin(after)
            if isinstance(event, Dispatched):
                attempt.charge, changed = self.queues.sharing.begin(after, event.time)
                self.queues.touch(attempt.backend, changed)


def _waits_for_store(entry: Entry) -> bool:
    """Whether it was handed back as the blob store is away: those behind it may need none."""
    event = entry.event
    return isinstance(event, Retried) and event.reason == Reason.STORE_UNAVAILABLE


def by_age(jobs: Iterable[T], created: Callable[[T], str]) -> Iterator[list[T]]:
    """*jobs* in the order of *created*, some at a time, perhaps none.

    To make the next list takes milliseconds however many there are: whoever goes through them on
    an event loop gives the others a turn in between.
    """
    runs: list[list[T]] = []
    jobs = iter(jobs)
    while run := sorted(islice(jobs, RUN), key=created):
        if runs and created(runs[-1][-1]) <= created(run[0]):
            runs[-1] += run
        else:
            runs.append(run)
        yield []
    merged = merge(*runs, key=created) if len(runs) > 1 else chain.from_iterable(runs)
    while some := list(islice(merged, RUN)):
        yield some
