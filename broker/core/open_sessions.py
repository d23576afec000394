"""The sessions that are not closed, with their jobs. Bounded, as jobs are: what has ended is let go."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from broker.core.holds import Holds
from broker.core.sessions import Dates, Work, apply, due, seconds_between
from schemas.events import Event, Queued, Resolved, Retried, Started
from schemas.jobs import Job
from schemas.ledger import SessionEntry
from schemas.sessions import Closing, Session, session_key
from schemas.values import JobKey

MOST = 1_000  # of a tenant, that are not closed
SESSION = 2_000  # bytes that one takes
MEMBER = 200  # bytes that a job takes here


@dataclass(slots=True)
class _Jobs:
    """Those of one session that wait or run, and what is known of all that it had."""

    live: dict[JobKey, None] = field(default_factory=dict)
    started: str | None = None
    completed: str | None = None


class Sessions:
    """By their keys. `record` and `restore` are the only ways in."""

    def __init__(self) -> None:
        self._sessions: dict[JobKey, Session] = {}
        self._jobs: dict[JobKey, _Jobs] = {}
        self._dates: dict[JobKey, Dates] = {}
        self._due: dict[JobKey, float] = {}  # tick time at which something happens by itself
        self._touched: dict[JobKey, None] = {}  # something happened to their jobs
        self._to_end: dict[JobKey, deque[JobKey]] = {}  # jobs of sessions that end them
        self._of_tenant: dict[str, int] = {}
        self._members = 0
        self.holds = Holds()

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, key: object) -> bool:
        return key in self._sessions

    def __iter__(self) -> Iterator[JobKey]:
        return iter(self._sessions)

    @property
    def weight(self) -> int:
        """Bytes that they take."""
        return SESSION * len(self._sessions) + MEMBER * self._members

    def get(self, key: JobKey) -> Session | None:
        """The session; None if it is not known, or closed and let go."""
        return self._sessions.get(key)

    def has_room(self, tenant: str) -> bool:
        """Whether *tenant* may have one more."""
        return self._of_tenant.get(tenant, 0) < MOST

    def work(self, key: JobKey) -> Work:
        """What is known of its jobs."""
        jobs = self._jobs.get(key)
        return Work(len(jobs.live), jobs.started, jobs.completed) if jobs else Work()

    # What happens to sessions

    def record(self, entry: SessionEntry) -> Session:
        """Take in what is on the ledger, or is about to be."""
        key = entry.key
        after = apply(self._sessions.get(key), entry)
        self._put(key, after)
        return after

    def restore(self, session: Session) -> None:
        """Take in a session that is not known yet, as a snapshot has it."""
        self._put(session.key, session)

    def forget(self, key: JobKey) -> None:
        """Let go of one that has ended."""
        if (session := self._sessions.pop(key, None)) is not None:
            self._count(key.tenant, -_lives(session))
            self.holds.forget(session)
        for table in (self._dates, self._due, self._touched, self._to_end):
            table.pop(key, None)
        if (jobs := self._jobs.get(key)) is not None and not jobs.live:
            del self._jobs[key]

    def _put(self, key: JobKey, session: Session) -> None:
        before = self._sessions.get(key)
        self._count(key.tenant, _lives(session) - _lives(before))
        self._sessions[key] = session
        self._touched[key] = None
        self.holds.follow(session)
        if ends_queued(session) and (before is None or before.reason != session.reason):
            self._to_end[key] = deque(self._jobs[key].live if key in self._jobs else ())

    def _count(self, tenant: str, more: int) -> None:
        count = self._of_tenant.get(tenant, 0) + more
        if count:
            self._of_tenant[tenant] = count
        else:
            self._of_tenant.pop(tenant, None)

    # What happens to their jobs

    def join(self, session: JobKey, job: JobKey) -> None:
        """*job* waits or runs, in *session*."""
        jobs = self._jobs.setdefault(session, _Jobs())
        if job not in jobs.live:
            jobs.live[job] = None
            self._members += 1
            self._touched[session] = None
            if session in self._to_end:
                self._to_end[session].append(job)

    def note(self, job: Job, event: Event) -> None:
        """*event* has happened to *job*, which may be in a session."""
        if (key := session_of(job)) is None:
            return
        self.holds.note(key, self._sessions.get(key), job, event)
        if isinstance(event, Queued):
            self.join(key, job.key)
        elif isinstance(event, Started):
            jobs = self._jobs.setdefault(key, _Jobs())
            jobs.started = max(jobs.started or "", event.time)
            self._touched[key] = None
        elif isinstance(event, (Retried, Resolved)):
            if key in self._to_end or ends_queued(self._sessions.get(key)):
                self._to_end.setdefault(key, deque()).append(job.key)
                self._touched[key] = None
        elif job.terminal:
            self._leave(key, job, event.time)

    def restore_job(self, job: Job) -> None:
        """Take in a job that waits or runs, and may be in a session, as a snapshot has it."""
        if (key := session_of(job)) is not None:
            self.join(key, job.key)
            self.holds.note(key, self._sessions.get(key), job, None)

    def _leave(self, key: JobKey, job: Job, time: str) -> None:
        jobs = self._jobs.get(key)
        if jobs is None:
            return
        if job.key in jobs.live:
            del jobs.live[job.key]
            self._members -= 1
        if job.started is not None:
            jobs.completed = max(jobs.completed or "", time)
        self._touched[key] = None
        if not jobs.live and key not in self._sessions:
            del self._jobs[key]

    # What follows

    def touched(self) -> list[JobKey]:
        """Those to which, or to whose jobs, something happened; each is told once."""
        found = list(self._touched)
        self._touched.clear()
        return found

    @property
    def has_touched(self) -> bool:
        """Whether there are such."""
        return bool(self._touched)

    def touch(self, key: JobKey) -> None:
        """Look at it once more."""
        self._touched[key] = None

    def to_end(self, key: JobKey, most: int) -> list[JobKey]:
        """The next of its jobs that are to be ended, at most so many; they are told once."""
        jobs = self._to_end.get(key)
        found = [jobs.popleft() for _ in range(min(most, len(jobs)))] if jobs else []
        if not jobs:
            self._to_end.pop(key, None)
        return found

    def is_ending_jobs(self, key: JobKey) -> bool:
        """Whether there are more of them."""
        return key in self._to_end

    # Time, in tick seconds

    def dates(self, key: JobKey) -> Dates:
        """When what happened to it that its times to live are counted from."""
        return self._dates[key]

    def overdue(self, clock: float) -> list[JobKey]:
        """Those to which something happens by itself now."""
        return [key for key, at in self._due.items() if at <= clock]

    def date(self, key: JobKey, clock: float) -> None:
        """Take note of what has become of it by now."""
        session = self._sessions[key]
        dates = self._dates.setdefault(key, Dates(clock))
        if session.activated is not None and dates.activated is None:
            dates.activated = clock
        if self.work(key).jobs:
            dates.idle = None
        elif dates.idle is None:
            dates.idle = clock
        self._due[key] = due(session, dates)

    def date_all(self, clock: float, now: str) -> None:
        """A term begins: what happened before counts by the times in its events."""
        for key, session in self._sessions.items():
            opened = clock - seconds_between(session.created, now)
            dates = self._dates[key] = Dates(opened)
            if session.activated is not None:
                dates.activated = clock - seconds_between(session.activated, now)
            if not self.work(key).jobs:
                last = session.last_job_completed or session.last_job_started or session.created
                dates.idle = clock - seconds_between(last, now)
            self._due[key] = due(session, dates)
            self._touched[key] = None
            if ends_queued(session):
                self._to_end[key] = deque(self._jobs[key].live if key in self._jobs else ())


def session_of(job: Job) -> JobKey | None:
    """The key of the session that *job* is in, if it is in one."""
    named = job.details.session_id if job.details is not None else None
    return session_key(job.tenant, named) if named is not None else None


def _lives(session: Session | None) -> int:
    return int(session is not None and not session.terminal)


def ends_queued(session: Session | None) -> bool:
    """Whether its jobs that wait are to be cancelled."""
    return session is not None and session.reason in (Closing.TIMED_OUT, Closing.CANCELLED)
