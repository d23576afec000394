"""One turn: inputs go in one by one; out come events for the ledger and instructions for workers.

Nothing here waits or fails for reasons outside. The events are in the book as soon as they are
decided; the caller puts them on the ledger before anybody is told, or throws the book away.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from broker.core import decide, fact_turns, session_turns
from broker.core.admission import Admitted, Refused, Site, admit
from broker.core.catalogue import Catalogue
from broker.core.changes import Changes
from broker.core.inputs import (
    CancelAsked,
    DeleteAsked,
    Input,
    Reported,
    ResolveAsked,
    SessionAsked,
    Submitted,
    TagAsked,
)
from broker.core.orders import Orders, paused
from broker.core.roster import Suspect
from broker.core.routing import Requirements, requirements
from broker.core.scheduler import Choice
from broker.core.usage import Usage, no_quota
from schemas.jobs import Job
from schemas.ledger import DeadLetter, InputPosition
from schemas.mocks import with_mocks
from schemas.reports import FACTS, Report, each
from schemas.tenants import Quota
from schemas.values import JobKey, Reason, State
from schemas.workers import BackendAnnounced, Heartbeat

HOPE = 120.0  # tick seconds after the first backend: jobs that wait for one unknown then fail
FAILED_AT_ONCE = 200  # of those, in one turn


@dataclass(slots=True)
class Turn(Changes):
    """Decides on inputs, one by one."""

    catalogue: Catalogue
    suspects: list[Suspect] = field(default_factory=list, kw_only=True)
    quota_of: Callable[[str], Quota] = field(default=no_quota, kw_only=True)
    orders: Orders = field(default_factory=dict, kw_only=True)

    def take(self, item: Input) -> str | None:
        """Decide on *item*; why nothing came of it, if nothing did and somebody may wonder."""
        match item:
            case Submitted():
                return self._submit(item)
            case CancelAsked():
                return self._cancel(item)
            case DeleteAsked():
                return self._delete(item)
            case SessionAsked():
                return session_turns.take(self, item, self._site())
            case TagAsked():
                return self._tag(item)
            case ResolveAsked():
                return self._resolve(item)
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
        self._release()
        self._fail_hopeless()
        session_turns.tick(self)

    def settle(self, limit: int = 1_000_000) -> bool:
        """Have sessions follow their jobs, and end up to *limit* of those; whether there is more."""
        return session_turns.settle(self, limit)

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
            if job and (backend := self._better(job, site)):
                queues.place(key, backend)
        return queues.is_looking

    def dispatch(self, limit: int = 1_000_000) -> bool:
        """Place up to *limit* jobs, and give as many free slots to those whose turn it is; whether
        there is more to do.
        """
        if not len(self.book.queues):
            return False
        left = paused(self.orders)
        self.book.queues.look_elsewhere(left)
        is_looking = self.place(limit)
        offers = self.roster.offers(self.book, left)
        for _ in range(limit):
            choice = self.book.queues.next(offers, self._is_held)
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
        verdict = self._verdict(item, self._usage_of(item.key.tenant))
        event = decide.on_submit(item.key.job_id, verdict, self.time)
        session_turns.begin_with(self, item.key, item.body, verdict)
        self.record(item.key, event, position=item.position, traceparent=item.traceparent)
        return None

    def _again(self, item: Submitted) -> str:
        """The id is known: one job, the first; who asks for another with it is told."""
        job = self.book.jobs.get(item.key)
        if job is not None and job.details is not None and not job.terminal:
            was = Admitted(job.details, job.backend or "")
            session_turns.begin_with(self, item.key, item.body, was)
        if job is None or not job.digest or isinstance(item.body, Refused):
            return "job.known_already"
        verdict = self._verdict(item, Usage(item.key.tenant))
        if verdict.digest in ("", job.digest):
            return "job.known_already"
        self.letters.append(_asked_for_otherwise(job, verdict.digest, item.position))
        return "job.asked_for_otherwise"

    def _cancel(self, item: CancelAsked) -> str | None:
        job = self.book.jobs.get(item.key)
        if job is None:
            return "cancel.of_no_live_job"
        if self.book.came_after(item.key, item.position):  # read again, after a crash
            return "cancel.before_its_job"
        if self.cancel(job, Reason.USER_REQUEST, item.position):
            return None
        return self._cancel_again(job)

    def _cancel_again(self, job: Job) -> str:
        attempt = self.book.attempts.get(job.key)
        if job.state is not State.CANCELLING or attempt is None:
            return "cancel.again"
        if self.book.reminders.may_repeat(attempt.worker, attempt.name, self.roster.clock):
            self.tell_to_stop(job, attempt, Reason.USER_REQUEST)
        return "cancel.again"

    def _delete(self, item: DeleteAsked) -> str | None:
        """Of a job that ended long ago even the id may be forgotten, so that what nobody knows is
        deleted as well.
        """
        job = self.book.jobs.get(item.key)
        if job is not None and not job.terminal:
            return "delete.of_a_live_job"
        self.delete(item.key)
        return None

    def _tag(self, item: TagAsked) -> str | None:
        """Whatever has become of the job; only what was rejected has no tags."""
        job = self.book.jobs.get(item.key)
        if job is not None and job.details is None:
            return "tag.of_a_rejected_job"
        if self.book.came_after(item.key, item.position):  # read again, after a crash
            return "tag.before_its_job"
        self.tag(item.key, item.tags)
        return None

    def _report(self, item: Reported) -> str | None:
        return [self._one_report(report, item.position) for report in each(item.report)][-1]

    def _one_report(self, report: Report, position: InputPosition) -> str | None:
        key = JobKey(report.tenant, report.job_id)
        job = self.book.jobs.get(key)
        if isinstance(report.body, FACTS):
            return fact_turns.take(self, job, report.body, report, position)
        event = decide.on_report(job, report, self.time) if job else None
        if event is None:
            return "report.void"
        self.record(key, event, position=position, report=report.number)
        return None

    def _resolve(self, item: ResolveAsked) -> str | None:
        job = self.book.jobs.get(item.key)
        event = decide.on_resolve(job, item.body, self.time) if job else None
        if event is None:
            return "resolve.of_no_parked_job"
        self.record(item.key, event, position=item.position)
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
                self.tell_to_end(beat.worker, name, why.reason)
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
            self.tell_again_to_run(job, attempt)
            return "dispatch.told_again"
        event = decide.after_death(job, suspect.reason, suspect.message, self.time)
        self.record(suspect.key, event)
        return None

    # What the broker does by itself

    def _dispatch(self, job: Job, choice: Choice) -> None:
        offer = choice.offer
        event = decide.on_dispatch(job, choice.backend, offer.worker, offer.instance, self.time)
        after = self.record(choice.key, event)
        (attempt := self.book.attempts[choice.key]).since = self.roster.clock
        backend = self.roster.backends.get(choice.backend)
        self.tell_to_run(after, attempt, waits=backend is not None and not backend.simulator)

    def _needs(self, job: Job) -> Requirements:
        version = job.details.program_version if job.details else ""
        declared = self.catalogue.declared(job.program_id, version)
        return requirements(
            declared.spec.backend_requirements if declared else None,
            job.details.backend_requirements if job.details else None,
        )

    def _release(self) -> None:
        """Limits may have been raised."""
        for tenant in self.book.queues.all_held:
            if not self._is_held(tenant):
                self.book.queues.release(tenant)

    def _better(self, job: Job, site: Site) -> str | None:
        """Where *job* waits better than where it does, if there is such a backend."""
        if job.backend and job.details and job.details.backend:  # it is the one that it asked for
            return None
        found = site.route(self._needs(job))
        return found if found != job.backend else None

    def _fail_hopeless(self) -> None:
        """End jobs that were accepted for a backend which has not come."""
        since = self.roster.backends_since
        if since is None or self.roster.clock - since < HOPE:
            return
        known = with_mocks(frozenset(self.roster.backends))
        for key in self.book.queues.waiting_for_others(known, FAILED_AT_ONCE):
            if job := self.book.jobs.get(key):
                self.record(key, decide.on_no_backend(job, self.time))

    # Parts

    def _is_held(self, tenant: str) -> bool:
        return self.quota_of(tenant).running is not None and self._usage_of(tenant).is_held

    def _usage_of(self, tenant: str) -> Usage:
        return self.book.usage_of(tenant, self.quota_of(tenant))

    def _verdict(self, item: Submitted, usage: Usage) -> Admitted | Refused:
        if isinstance(item.body, Refused):
            return item.body
        bound, refusal = session_turns.bound_to(self, item.key.tenant, item.body)
        if refusal is not None:
            return refusal
        found = admit(item.body, self.catalogue, self._site(), item.findings, usage, bound)
        if isinstance(found, Admitted) and session_turns.begins(item.body):
            details = replace(found.details, session_id=item.key.job_id)
            return dataclasses.replace(found, details=details)
        return found

    def _site(self) -> Site:
        roster = self.roster
        return Site(
            roster.backends,
            lambda name: roster.load(self.book, name),
            roster.is_settled,
            self.orders,
        )


def _has_not_begun(job: Job) -> bool:
    return job.state is State.RUNNING and job.started is None


def _asked_for_otherwise(job: Job, digest: str, position: InputPosition) -> DeadLetter:
    message = f"the job was asked for as {job.digest}, and now as {digest}"
    return DeadLetter(
        code="job_exists",
        message=message,
        job_id=job.job_id,
        tenant=job.tenant,
        source=position,
    )
