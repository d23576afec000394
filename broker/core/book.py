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
from broker.core.moments import moment
from broker.core.open_sessions import Sessions, session_of
from broker.core.promises import Promises
from broker.core.queues import Queues
from broker.core.reminders import Reminders
from broker.core.resting import Rest, Resting
from broker.core.sharing import Sharing, same
from broker.core.spending import NOTHING_SPENT, Spending
from broker.core.usage import Usage
from schemas.events import AnyEvent, Dispatched, Moved, Parked, Retried
from schemas.jobs import Job
from schemas.ledger import Entry, InputPosition, SessionEntry
from schemas.sessions import Session
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
        self.resting = Resting()
        self.jobs = Jobs(self._lose)
        self.sessions = Sessions()
        self._lost = lost  # hears of snapshots that turned out to be damaged
        self.attempts = Attempts()
        self._ended = Ended(remembered)
        self._origins: dict[JobKey, InputPosition] = {}  # of the requests that made live jobs
        self.reminders = Reminders()
        self.promises = Promises()
        self.spending = Spending()

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
        self._spend(before, after, entry.event)
        self.sessions.note(after, entry.event)
        if isinstance(entry.event, Parked):
            self._take_out(before or after, entry.event)  # nothing runs, or waits for a slot
            return after
        if isinstance(entry.event, Moved):
            self._move(after, entry.event.backend)
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
        if not job.terminal:
            self.sessions.restore_job(job)
            self.spending.meter(job.tenant, job.device_seconds or 0.0)
        self._enter(job, key, None, again=job.attempt > 0)

    def wake(self, time: str) -> None:
        """It is *time*: those that have rested until now wait in their queues again."""
        if len(self.resting):
            for rest in self.resting.wake(moment(time, 0.0)):
                if job := self.jobs.get(rest.key):  # else its snapshot was damaged
                    self._queue(job, again=True, rest=rest)

    def join(self, session: JobKey, key: JobKey) -> None:
        """The job, which was restored and waits, is in *session*."""
        self.sessions.join(session, key)
        self.queues.join(key, session)

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

    def usage_of(self, tenant: str, quota: Quota = NO_QUOTA, time: str = "") -> Usage:
        """What *tenant* has at *time*, as it stands in events, beside its *quota*."""
        used = self.spending.of(tenant, time[:10]) if quota.limits_use else NOTHING_SPENT
        queued = self.queues.count_of(tenant) + self.resting.count_of(tenant)
        running = self.attempts.count_of(tenant)
        return Usage(tenant, queued, running, quota, used)

    def attempts_of(self, worker: str) -> Mapping[JobKey, LiveAttempt]:
        """The attempts that *worker* is to have under way."""
        return self.attempts.of_worker(worker)

    def workers(self) -> list[str]:
        """Those that are to have attempts under way."""
        return self.attempts.workers

    # Indexes

    def _spend(self, before: Job | None, after: Job, event: AnyEvent) -> None:
        self.spending.take(after.tenant, event)
        had = (before.device_seconds if before else None) or 0.0
        has = 0.0 if after.terminal else after.device_seconds or 0.0
        if has != had:
            self.spending.meter(after.tenant, has - had)

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
        self.resting.take(key)
        if self._lost is not None:
            self._lost(key, why)

    def _take_out(self, job: Job, event: AnyEvent | None, keep_attempt: bool = False) -> None:
        key = job.key
        if job.state is State.QUEUED and self.resting.take(key) is None:
            self.queues.discard(key)
        if keep_attempt or (attempt := self.attempts.end(key)) is None:
            return
        if event is not None and attempt.charge is not None:
            changed = self.queues.sharing.end(job, attempt.backend, attempt.charge, event)
            self.queues.touch(attempt.backend, changed)
        self.queues.release(job.tenant)

    def _enter(self, after: Job, key: JobKey, event: AnyEvent | None, *, again: bool) -> None:
        if after.terminal:
            self._ended.add(key.encode())
            self._origins.pop(key, None)
        elif after.state is State.QUEUED and after.next_attempt_at is not None:
            self.resting.add(key, moment(after.next_attempt_at, 0.0), self.queues.arrivals.next())
        elif after.state is State.QUEUED:
            self._queue(after, again=again)
        elif after.worker is not None and key not in self.attempts:
            attempt = self.attempts.begin(after)
            if isinstance(event, Dispatched):
                attempt.charge, changed = self.queues.sharing.begin(after, event.time)
                self.queues.touch(attempt.backend, changed)

    def _move(self, job: Job, backend: str) -> None:
        """It goes when it would have gone; at once, if it rested."""
        if (rest := self.resting.take(job.key)) is not None:
            self._queue(job, again=True, rest=rest)
        self.queues.place(job.key, backend)

    def _queue(self, job: Job, *, again: bool, rest: Rest | None = None) -> None:
        self.queues.add(
            job.key,
            job.backend or UNPLACED,
            job.details.priority if job.details else 0,
            again=again,
            session=session_of(job),
            arrived=rest.arrival if rest else None,
        )


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
