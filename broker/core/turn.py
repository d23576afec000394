"""One turn: inputs go in one by one; out come events for the ledger and instructions for workers.

Nothing here waits or fails for reasons outside. The events are in the book as soon as they are
decided; the caller puts them on the ledger before anybody is told, or throws the book away.
"""

from dataclasses import dataclass, field

import msgspec

from broker.core import decide
from broker.core.admission import Admitted, Refused, Site, admit
from broker.core.book import Attempt, Book
from broker.core.catalogue import Catalogue
from broker.core.roster import Roster, Suspect
from broker.core.routing import Requirements, requirements, route
from broker.core.scheduler import UNPLACED, Choice, next_dispatch
from schemas.events import AnyEvent
from schemas.inbox import CancelAttempt, Dispatch, Instruction
from schemas.jobs import Job
from schemas.ledger import DeadLetter, Deletion, Entry, InputPosition
from schemas.reports import Report, each
from schemas.requests import SubmitJob
from schemas.specification import Findings
from schemas.values import JobKey, Reason, State
from schemas.workers import AttemptName, BackendAnnounced, Heartbeat

PATIENCE = 120.0  # tick seconds after the first backend: jobs that wait for one unknown then fail
FAILED_AT_ONCE = 200  # of those, in one turn


class Submitted(msgspec.Struct, frozen=True):
    """A request for a job. `body` is a `Refused` if it is not even one."""

    position: InputPosition
    key: JobKey
    body: SubmitJob | Refused
    traceparent: str | None = None
    findings: Findings | None = None  # about the inputs, if somebody has looked at them


class CancelAsked(msgspec.Struct, frozen=True):
    """A request to end a job."""

    position: InputPosition
    key: JobKey


class DeleteAsked(msgspec.Struct, frozen=True):
    """A request to forget a job that has ended."""

    position: InputPosition
    key: JobKey


class Reported(msgspec.Struct, frozen=True):
    """A report of a worker."""

    position: InputPosition
    report: Report


Input = Submitted | CancelAsked | DeleteAsked | Reported | Heartbeat | BackendAnnounced | Suspect


@dataclass(frozen=True, slots=True)
class Instructed:
    """What a worker is to be told. *waits*: only once the event is on the ledger."""

    worker: str
    body: Instruction
    traceparent: str | None
    waits: bool = False


@dataclass(slots=True)
class Turn:
    """Decides on inputs at one moment: *time* as it stands in events, *epoch* of the broker."""

    book: Book
    roster: Roster
    catalogue: Catalogue
    epoch: int
    time: str
    entries: list[Entry] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)  # behind the entries
    instructions: list[Instructed] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    changed: dict[JobKey, Job | Deletion] = field(default_factory=dict)  # as this leaves them

    def take(self, item: Input) -> str | None:
        """Decide on *item*; why nothing came of it, if nothing did and somebody may wonder."""
        match item:
            case Submitted():
                return self._submit(item)
            case CancelAsked():
                return self._cancel(item)
            case DeleteAsked():
                return self._delete(item)
            case Reported():
                return self._report(item)
            case Heartbeat():
                return self._heartbeat(item)
            case BackendAnnounced():
                if self.roster.announce(item):
                    self.book.queues.look_again()
                elif item.name not in self.roster.backends:
                    return "backend.no_room"
            case Suspect():
                return self._lose(item)
        return None

    def resume(self) -> None:
        """The first turn after a recovery: backends may be known that jobs have waited for."""
        self.book.queues.look_again()

    def tick(self) -> None:
        """Some time has passed: look for leases that have run out, and for hopeless waits."""
        self.suspects += self.roster.overdue(self.book)
        self.roster.forget_the_gone(self.book)
        self._fail_hopeless()

    def place(self, limit: int) -> bool:
        """Look for a backend for the next *limit* that none suited so far; whether more are left.

        Where a job waits is not on the ledger: it follows anew from what there is.
        """
        queues = self.book.queues
        if not queues.is_looking:
            return False
        site = self._site()
        for key in queues.to_look_at(limit):
            job = self.book.jobs.get(key)
            if job and (backend := route(site.backends.values(), self._needs(job), site.load)):
                queues.place(key, backend)
        return queues.is_looking

    def dispatch(self, limit: int = 1_000_000) -> bool:
        """Place up to *limit* jobs, and give as many free slots to those whose turn it is; whether
        there is more to do.
        """
        if not len(self.book.queues):
            return False
        is_looking = self.place(limit)
        offers = self.roster.offers(self.book)
        for _ in range(limit):
            choice = next_dispatch(self.book.queues, offers)
            if choice is None:
                return is_looking
            if job := self.book.jobs.get(choice.key):  # else its snapshot was damaged
                self._dispatch(job, choice)
                choice.offer.free -= 1
        return True

    # Inputs

    def _submit(self, item: Submitted) -> str | None:
        if self.book.knows(item.key):
            return self._again(item)
        event = decide.on_submit(item.key.job_id, self._verdict(item), self.time)
        self._record(item.key, event, position=item.position, traceparent=item.traceparent)
        return None

    def _again(self, item: Submitted) -> str:
        """The id is known: one job, the first; who asks for another with it is told."""
        job = self.book.jobs.get(item.key)
        if job is None or not job.digest or isinstance(item.body, Refused):
            return "job.known_already"
        verdict = self._verdict(item)
        if verdict.digest in ("", job.digest):
            return "job.known_already"
        message = f"the job was asked for as {job.digest}, and now as {verdict.digest}"
        letter = DeadLetter(
            code="job_exists",
            message=message,
            job_id=job.job_id,
            tenant=job.tenant,
            source=item.position,
        )
        self.letters.append(letter)
        return "job.asked_for_otherwise"

    def _cancel(self, item: CancelAsked) -> str | None:
        job = self.book.jobs.get(item.key)
        if job is None:
            return "cancel.of_no_live_job"
        if self.book.came_after(item.key, item.position):  # read again, after a crash
            return "cancel.before_its_job"
        event = decide.on_cancel(job, self.time)
        if event is None:
            return self._cancel_again(job)
        after = self._record(item.key, event, position=item.position)
        if after.state is State.CANCELLING:
            self._stop(after, Reason.USER_REQUEST)
        return None

    def _cancel_again(self, job: Job) -> str:
        attempt = self.book.attempts.get(job.key)
        if job.state is not State.CANCELLING or attempt is None:
            return "cancel.again"
        if self.book.reminders.may_repeat(attempt.worker, attempt.name, self.roster.clock):
            self._stop(job, Reason.USER_REQUEST)
        return "cancel.again"

    def _delete(self, item: DeleteAsked) -> str | None:
        """Forget the job, but not its id: a repeated request must not run it again.

        A job that ended long ago may have left the memory of ids, so that what nobody knows is
        deleted as well.
        """
        job = self.book.jobs.get(item.key)
        if job is not None and not job.terminal:
            return "delete.of_a_live_job"
        self.book.forget(item.key)
        deletion = Deletion(item.key.tenant, item.key.job_id, self.time, self.epoch)
        self.deletions.append(deletion)
        self.changed[item.key] = deletion
        return None

    def _report(self, item: Reported) -> str | None:
        notes = [self._one_report(report, item.position) for report in each(item.report)]
        return notes[-1]

    def _one_report(self, report: Report, position: InputPosition) -> str | None:
        key = JobKey(report.tenant, report.job_id)
        job = self.book.jobs.get(key)
        event = decide.on_report(job, report, self.time) if job else None
        if event is None:
            return "report.void"
        after = self._record(key, event, position=position, report=report.number)
        self._bury(job, after)
        return None

    def _heartbeat(self, beat: Heartbeat) -> str | None:
        if not self.roster.hear(beat):
            is_echo = self.roster.is_echo(beat)
            return "heartbeat.of_an_earlier_start" if is_echo else "heartbeat.no_room"
        self.suspects += self.roster.unnamed(self.book, beat)
        reminders, running = self.book.reminders, beat.attempts[: beat.running]
        reminders.keep(beat.worker, running)
        for name in running:
            job = self.book.jobs.get(JobKey(name.tenant, name.job_id))
            why = decide.why_to_end(job, name)
            if why and reminders.is_due(beat.worker, name, self.roster.clock, why.wait):
                self.instructions.append(Instructed(beat.worker, _end(name, why.reason), None))
        return None

    def _lose(self, suspect: Suspect) -> str | None:
        """The attempt is lost, if it is still the one under way."""
        attempt = self.book.attempts.get(suspect.key)
        if attempt is None or attempt.number != suspect.number:
            return None
        if suspect.silent and not self.roster.is_overdue(attempt):
            return "worker.heard_again"
        job = self.book.jobs[suspect.key]
        if suspect.missing and not attempt.is_told and _has_not_begun(job):
            self._dispatch_again(job, attempt)
            return "dispatch.told_again"
        event = decide.after_death(job, suspect.reason, suspect.message, self.time)
        after = self._record(suspect.key, event)
        self._bury(job, after)
        return None

    # What the broker does by itself

    def _dispatch(self, job: Job, choice: Choice) -> None:
        offer = choice.offer
        event = decide.on_dispatch(job, choice.backend, offer.worker, offer.instance, self.time)
        after = self._record(choice.key, event)
        self.book.attempts[choice.key].since = self.roster.clock
        backend = self.roster.backends.get(choice.backend)
        waits = backend is not None and not backend.simulator
        told = Instructed(offer.worker, _begin(after), after.traceparent, waits)
        self.instructions.append(told)

    def _dispatch_again(self, job: Job, attempt: Attempt) -> None:
        """Its worker lives and has never heard of it: it was told nothing, so nothing is lost."""
        body = msgspec.structs.replace(_begin(job), told_by=self.epoch)
        attempt.inbox = None  # until it is told
        self.instructions.append(Instructed(attempt.worker, body, job.traceparent))

    def _stop(self, job: Job, reason: Reason) -> None:
        name = AttemptName(job.tenant, job.job_id, job.attempt, job.epoch)
        worker = job.worker or ""
        self.book.reminders.told(worker, name, self.roster.clock)
        self.instructions.append(Instructed(worker, _end(name, reason), job.traceparent))

    def _needs(self, job: Job) -> Requirements:
        program = self.catalogue.get(job.program_id)
        return requirements(
            program.specification.spec.backend_requirements if program else None,
            job.details.backend_requirements if job.details else None,
        )

    def _fail_hopeless(self) -> None:
        """End jobs that were accepted for a backend which has not come."""
        since = self.roster.backends_since
        if since is None or self.roster.clock - since < PATIENCE:
            return
        for key in self._hopeless():
            if job := self.book.jobs.get(key):
                self._record(key, decide.on_no_backend(job, self.time))

    def _hopeless(self) -> list[JobKey]:
        """The first of those that wait in vain."""
        queues, known, found = self.book.queues, self.roster.backends, list[JobKey]()
        for backend in queues.backends():
            if backend in known or (backend == UNPLACED and queues.is_looking):
                continue
            found += queues.waiting(backend, FAILED_AT_ONCE - len(found))
            if len(found) >= FAILED_AT_ONCE:
                break
        return found

    def _bury(self, before: Job | None, after: Job) -> None:
        """A job that was given up after its last attempt is for an operator to look at."""
        lost = before is not None and before.attempt > 0
        if after.state is State.FAILED and lost and after.reason in _LOSSES:
            letter = DeadLetter(
                code=after.reason or "",
                message=after.message or "",
                job_id=after.job_id,
                tenant=after.tenant,
            )
            self.letters.append(letter)

    # Parts

    def _verdict(self, item: Submitted) -> Admitted | Refused:
        if isinstance(item.body, Refused):
            return item.body
        return admit(item.body, self.catalogue, self._site(), item.findings)

    def _site(self) -> Site:
        roster = self.roster
        return Site(roster.backends, lambda name: roster.load(self.book, name), roster.is_settled)

    def _record(
        self,
        key: JobKey,
        event: AnyEvent,
        *,
        position: InputPosition | None = None,
        report: int = 0,
        traceparent: str | None = None,
    ) -> Job:
        if traceparent is None and (job := self.book.jobs.get(key)):
            traceparent = job.traceparent
        entry = Entry(key, event, self.epoch, report, position, traceparent)
        after = self.book.record(entry)
        self.entries.append(entry)
        self.changed[key] = after
        return after


def _begin(job: Job) -> Dispatch:
    """Run the newest attempt at *job*."""
    details = job.details
    assert details is not None
    return Dispatch(
        tenant=job.tenant,
        job_id=job.job_id,
        attempt=job.attempt,
        epoch=job.epoch,
        instance=job.instance or "",
        program_id=details.program_id,
        program_version=details.program_version,
        backend=job.backend or "",
        time_limit=details.time_limit,
        params=details.params,
        params_ref=details.params_ref,
        traceparent=job.traceparent,
    )


def _has_not_begun(job: Job) -> bool:
    return job.state is State.RUNNING and job.started is None


def _end(name: AttemptName, reason: str) -> CancelAttempt:
    return CancelAttempt(
        tenant=name.tenant,
        job_id=name.job_id,
        attempt=name.attempt,
        epoch=name.epoch,
        reason=reason,
    )


_LOSSES = (Reason.WORKER_LOST, Reason.CHILD_DIED, Reason.CHILD_CRASHED)
