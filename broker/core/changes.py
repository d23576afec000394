"""What a turn has led to so far: events, deletions, instructions, letters."""

from dataclasses import dataclass, field

import msgspec

from broker.core import decide, sessions
from broker.core.attempts import LiveAttempt
from broker.core.book import Book
from broker.core.open_sessions import session_of
from broker.core.retries import CLASSES
from broker.core.roster import KnownWorker, Roster
from schemas.events import AnyEvent
from schemas.inbox import (
    Calibrate,
    CancelAttempt,
    CloseVendorSession,
    Dispatch,
    Instruction,
    Recorded,
)
from schemas.jobs import RETRIED, Job
from schemas.ledger import DeadLetter, Deletion, Entry, InputPosition, SessionEntry, Tagging
from schemas.reports import Report
from schemas.sessions import AnySessionEvent, InSession, Session, SessionClosed
from schemas.values import JobKey, Reason, State
from schemas.workers import AttemptName

_LOSSES = frozenset(reason for reason, found in CLASSES.items() if found in RETRIED)


@dataclass(frozen=True, slots=True)
class Instructed:
    """What a worker is to be told. *waits*: only once the event is on the ledger."""

    worker: str
    body: Instruction
    traceparent: str | None
    waits: bool = False


@dataclass(slots=True)
class Changes:
    """At one moment: *time* as it stands in events, *epoch* of the broker. What is recorded is in the
    book at once.
    """

    book: Book
    roster: Roster
    epoch: int
    time: str
    entries: list[Entry] = field(default_factory=list, kw_only=True)
    of_sessions: list[SessionEntry] = field(default_factory=list, kw_only=True)
    taggings: list[Tagging] = field(default_factory=list, kw_only=True)  # behind the entries,
    deletions: list[Deletion] = field(default_factory=list, kw_only=True)  # and these
    instructions: list[Instructed] = field(default_factory=list, kw_only=True)
    letters: list[DeadLetter] = field(default_factory=list, kw_only=True)
    changed: dict[JobKey, Job | Deletion | Tagging | Session] = field(
        default_factory=dict, kw_only=True
    )  # as this leaves them

    def record(
        self,
        key: JobKey,
        event: AnyEvent,
        *,
        position: InputPosition | None = None,
        report: int = 0,
        traceparent: str | None = None,
    ) -> Job:
        """*event* happens to the job: what it is then."""
        before = self.book.jobs.get(key)
        if traceparent is None and before is not None:
            traceparent = before.traceparent
        entry = Entry(key, event, self.epoch, report, position, traceparent)
        after = self.book.record(entry)
        self.entries.append(entry)
        self.changed[key] = after
        self._bury(before, after)
        return after

    def cancel(self, job: Job, reason: Reason, position: InputPosition | None = None) -> bool:
        """End *job* as soon as may be because of *reason*; whether that is news."""
        event = decide.on_cancel(job, self.time, reason)
        if event is None:
            return False
        after = self.record(job.key, event, position=position)
        if after.state is State.CANCELLING:
            self.tell_to_stop(after, self.book.attempts[job.key], reason)
        return True

    def record_session(
        self,
        key: JobKey,
        event: AnySessionEvent,
        *,
        position: InputPosition | None = None,
        traceparent: str | None = None,
    ) -> Session:
        """*event* happens to the session: what it is then."""
        entry = SessionEntry(key, event, self.epoch, position, traceparent)
        after = self.book.record_session(entry)
        self.of_sessions.append(entry)
        self.changed[key] = after
        if isinstance(event, SessionClosed):
            self._tell_closed(after)
        return after

    def delete(self, key: JobKey) -> None:
        """Forget the job, but not its id: a repeated request must not run it again."""
        self.book.forget(key)
        deletion = Deletion(key.tenant, key.job_id, self.time, self.epoch)
        self.deletions.append(deletion)
        self.changed[key] = deletion

    def tag(self, key: JobKey, tags: tuple[str, ...]) -> None:
        """The job has these tags, even if it ended long ago and is not in the book any more."""
        tagging = Tagging(key.tenant, key.job_id, tags, self.time, self.epoch)
        self.taggings.append(tagging)
        if (after := self.book.retag(key, tags)) is not None:
            self.changed[key] = after
        else:
            self.changed.setdefault(key, tagging)  # it may just have been deleted

    def tell_to_run(self, job: Job, attempt: LiveAttempt, waits: bool) -> None:
        """Tell the worker of *attempt*, at *job*, to run it."""
        body = _begin(job, attempt, self._in_session(job))
        told = Instructed(attempt.worker, body, job.traceparent, waits)
        self.instructions.append(told)

    def tell_again_to_run(self, job: Job, attempt: LiveAttempt) -> None:
        """The worker of *attempt* lives and has never heard of it, so nothing is lost."""
        began = _begin(job, attempt, self._in_session(job))
        body = msgspec.structs.replace(began, told_by=self.epoch)
        attempt.inbox = None  # until it is told
        self.instructions.append(Instructed(attempt.worker, body, job.traceparent))

    def tell_to_stop(self, job: Job, attempt: LiveAttempt, reason: Reason) -> None:
        """Tell the worker of *attempt*, at *job*, to end it."""
        worker, name = attempt.worker, attempt.name
        self.book.reminders.told(worker, name, self.roster.clock)
        self.instructions.append(Instructed(worker, _end(name, reason), job.traceparent))

    def tell_to_end(self, worker: str, name: AttemptName, reason: str) -> None:
        """Tell *worker* to end what it runs as *name*."""
        self.instructions.append(Instructed(worker, _end(name, reason), None))

    def tell_to_calibrate(self, worker: KnownWorker, backend: str, asked: str) -> None:
        """Tell *worker* to have *backend* calibrated, as it was *asked* for then."""
        body = Calibrate(instance=worker.instance, backend=backend, asked=asked)
        self.instructions.append(Instructed(worker.name, body, None))

    def tell_recorded(self, report: Report) -> None:
        """Tell the worker that what it said is on the ledger, once it is."""
        body = Recorded(
            tenant=report.tenant,
            job_id=report.job_id,
            attempt=report.attempt,
            epoch=report.epoch,
            number=report.number,
        )
        self.instructions.append(Instructed(report.worker, body, None, waits=True))

    def _tell_closed(self, session: Session) -> None:
        """Tell the workers of its device that *session* has ended, once that is on the ledger."""
        details = session.details
        if details is None or not self.roster.is_device(details.backend):
            return
        if session.activated is None and self.book.sessions.work(session.key).started is None:
            return  # no job of it has begun, so nobody was asked for anything
        body = CloseVendorSession(
            tenant=session.tenant,
            session_id=session.session_id,
            mode=details.mode,
            backend=details.backend,
        )
        for worker in self.roster.offering(details.backend):
            self.instructions.append(Instructed(worker.name, body, None, waits=True))

    def _in_session(self, job: Job) -> InSession | None:
        """The session that *job* is in, where it goes to a device."""
        key = session_of(job)
        session = self.book.sessions.get(key) if key is not None else None
        if session is None or session.details is None:
            return None
        if not self.roster.is_device(job.backend or ""):
            return None
        left = sessions.left(session, session.details, self.time)
        return InSession(session.session_id, session.details.mode, left)

    def _bury(self, before: Job | None, after: Job) -> None:
        """A job that was given up after its last attempt, or is parked, is for an operator."""
        lost = before is not None and before.attempt > 0
        failed = after.state is State.FAILED and lost and after.reason in _LOSSES
        parked = after.parked is not None and (before is None or before.parked is None)
        if failed or parked:
            letter = DeadLetter(
                code=after.reason or "",
                message=after.message or "",
                job_id=after.job_id,
                tenant=after.tenant,
            )
            self.letters.append(letter)


def _begin(job: Job, attempt: LiveAttempt, session: InSession | None) -> Dispatch:
    """Run *attempt*, at *job*, which is in *session*."""
    details = job.details
    assert details is not None
    return Dispatch(
        tenant=job.tenant,
        job_id=job.job_id,
        attempt=attempt.number,
        epoch=attempt.epoch,
        instance=attempt.instance,
        program_id=details.program_id,
        program_version=details.program_version,
        backend=job.backend or "",
        time_limit=details.time_limit,
        params=details.params,
        params_ref=details.params_ref,
        traceparent=job.traceparent,
        calls=job.calls,
        calls_left_out=job.calls_left_out,
        session=session,
        leaves=job.device_losses < (details.retries.device_down or 0),
    )


def _end(name: AttemptName, reason: str) -> CancelAttempt:
    return CancelAttempt(
        tenant=name.tenant,
        job_id=name.job_id,
        attempt=name.attempt,
        epoch=name.epoch,
        reason=reason,
    )
