"""What a turn has led to so far: events, deletions, instructions, letters."""

from dataclasses import dataclass, field

import msgspec

from broker.core import decide
from broker.core.attempts import LiveAttempt
from broker.core.book import Book
from broker.core.roster import Roster
from schemas.events import AnyEvent
from schemas.inbox import CancelAttempt, Dispatch, Instruction, Recorded
from schemas.jobs import Job
from schemas.ledger import DeadLetter, Deletion, Entry, InputPosition, SessionEntry, Tagging
from schemas.reports import Report
from schemas.sessions import AnySessionEvent, Session
from schemas.values import JobKey, Reason, State
from schemas.workers import AttemptName

_LOSSES = (Reason.WORKER_LOST, Reason.CHILD_DIED, Reason.CHILD_CRASHED)


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
        told = Instructed(attempt.worker, _begin(job, attempt), job.traceparent, waits)
        self.instructions.append(told)

    def tell_again_to_run(self, job: Job, attempt: LiveAttempt) -> None:
        """The worker of *attempt* lives and has never heard of it, so nothing is lost."""
        body = msgspec.structs.replace(_begin(job, attempt), told_by=self.epoch)
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


def _begin(job: Job, attempt: LiveAttempt) -> Dispatch:
    """Run *attempt*, at *job*."""
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
    )


def _end(name: AttemptName, reason: str) -> CancelAttempt:
    return CancelAttempt(
        tenant=name.tenant,
        job_id=name.job_id,
        attempt=name.attempt,
        epoch=name.epoch,
        reason=reason,
    )
