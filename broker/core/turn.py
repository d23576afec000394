"""One turn: inputs go in one by one; out come events for the ledger and instructions for workers.

Nothing here waits or fails for reasons outside. The events are in the book as soon as they are
decided; the caller puts them on the ledger before anybody is told, or throws the book away.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from broker.core import (
    budgets,
    decide,
    fact_turns,
    leases,
    placing_turns,
    request_turns,
    session_turns,
)
from broker.core.catalogue import Catalogue
from broker.core.changes import Changes
from broker.core.claims import claims_in
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
from broker.core.leases import Suspect
from broker.core.moments import moment
from broker.core.orders import Orders, away, to_calibrate
from broker.core.scheduler import Choice
from broker.core.site import Site
from broker.core.usage import Usage, no_quota
from broker.core.windows import NO_WINDOWS, Windows
from schemas.jobs import Job
from schemas.ledger import InputPosition
from schemas.reports import FACTS, Metered, Report, each
from schemas.tenants import Quota
from schemas.values import JobKey, State
from schemas.workers import BackendAnnounced, Heartbeat


@dataclass(slots=True)
class Turn(Changes):
    """Decides on inputs, one by one."""

    catalogue: Catalogue
    suspects: list[Suspect] = field(default_factory=list, kw_only=True)
    quota_of: Callable[[str], Quota] = field(default=no_quota, kw_only=True)
    orders: Orders = field(default_factory=dict, kw_only=True)
    windows: Windows = field(default=NO_WINDOWS, kw_only=True)
    _site_seen: Site | None = field(default=None, init=False)  # none while it may be another

    def take(self, item: Input) -> str | None:
        """Decide on *item*; why nothing came of it, if nothing did and somebody may wonder."""
        if not isinstance(item, Submitted):
            self._site_seen = None
        match item:
            case Submitted():
                site, usage_of = self._site(), self._usage_of
                return request_turns.submit(self, item, self.catalogue, site, usage_of)
            case CancelAsked() | DeleteAsked() | TagAsked() | ResolveAsked():
                return request_turns.take(self, item)
            case SessionAsked():
                return session_turns.take(self, item, self._site())
            case Reported():
                return self._report(item)
            case Heartbeat():
                return self._heartbeat(item)
            case BackendAnnounced():
                if self.roster.announce(item):
                    self.book.queues.seekers.look_again()
                elif item.name not in self.roster.backends:
                    return "backend.no_room"
            case Suspect():
                return self._lose(item)
        return None

    def resume(self) -> None:
        """The first turn after a recovery: backends may be known that jobs have waited for."""
        self.book.queues.seekers.look_again()

    def tick(self) -> None:
        """Some time has passed: look for leases that have run out, and for hopeless waits."""
        self._site_seen = None
        self.suspects += leases.overdue(self.roster, self.book)
        self.roster.forget_the_gone(self.book)
        self.roster.note_lost(self.book)
        self._release()
        placing_turns.fail_hopeless(self)
        budgets.tick(self, self.quota_of)
        session_turns.tick(self)
        self._calibrate()

    def settle(self, limit: int = 1_000_000) -> bool:
        """Have sessions follow their jobs, and end up to *limit* of those; whether there is more."""
        return session_turns.settle(self, limit)

    def place(self, limit: int) -> bool:
        """Look for a backend for the next *limit* that none suited so far, or whose backend begins no
        jobs; whether more are left.
        """
        if not self.book.queues.seekers.is_looking:
            return False
        return placing_turns.place(self, self.catalogue, self._site(), limit)

    def dispatch(self, limit: int = 1_000_000) -> bool:
        """Place up to *limit* jobs, and give as many free slots to those whose turn it is; whether
        there is more to do.
        """
        if found := self.book.resting.fresh():
            placing_turns.leave_down(self, self.catalogue, self._site(), found)
        self.book.wake(self.time)
        if not len(self.book.queues):
            return False
        left = frozenset(away(self.roster, self.orders))
        self.book.queues.seekers.look_elsewhere(left)
        is_looking = self.place(limit)
        offers = self.roster.offers(self.book, left)
        claims = claims_in(self.book, self.roster, self.windows, moment(self.time, 0.0))
        self.book.queues.gaps.is_looking = False
        for _ in range(limit):
            choice = self.book.queues.next(offers, self._is_held, claims)
            if choice is None:
                return is_looking or self.book.queues.gaps.is_looking
            if job := self.book.jobs.get(choice.key):  # else its snapshot was damaged
                self._dispatch(job, choice)
                choice.offer.free -= 1
        return True

    # Inputs

    def _report(self, item: Reported) -> str | None:
        return [self._one_report(report, item.position) for report in each(item.report)][-1]

    def _one_report(self, report: Report, position: InputPosition) -> str | None:
        key = JobKey(report.tenant, report.job_id)
        job = self.book.jobs.get(key)
        if isinstance(report.body, FACTS):
            why = fact_turns.take(self, job, report.body, report, position)
            if why is None and isinstance(report.body, Metered):
                budgets.metered(self, key, self.quota_of)
            return why
        event = decide.on_report(job, report, self.time) if job else None
        if event is None:
            return "report.void"
        self.record(key, event, position=position, report=report.number)
        return None

    def _heartbeat(self, beat: Heartbeat) -> str | None:
        if not self.roster.hear(beat):
            is_echo = self.roster.is_echo(beat)
            return "heartbeat.of_an_earlier_start" if is_echo else "heartbeat.no_room"
        self.suspects += leases.unnamed(self.roster, self.book, beat)
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
        if suspect.silent and not leases.is_overdue(self.roster, attempt):
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

    def _calibrate(self) -> None:
        """Pass on that operators want backends to be calibrated."""
        for worker, backend, asked in to_calibrate(
            self.roster, self.orders, moment(self.time, 0.0)
        ):
            worker.calibrates[backend] = asked
            self.tell_to_calibrate(worker, backend, asked)

    def _release(self) -> None:
        """Limits may have been raised."""
        for tenant in self.book.queues.held.anywhere:
            if not self._is_held(tenant):
                self.book.queues.release(tenant)

    # Parts

    def _is_held(self, tenant: str) -> bool:
        quota = self.quota_of(tenant)
        if quota.running is None and quota.device_seconds is None:
            return False
        return self._usage_of(tenant).is_held

    def _usage_of(self, tenant: str) -> Usage:
        return self.book.usage_of(tenant, self.quota_of(tenant), self.time)

    def _site(self) -> Site:
        if self._site_seen is None:
            self._site_seen = self._look_around()
        return self._site_seen

    def _look_around(self) -> Site:
        roster, book = self.roster, self.book
        return Site(
            roster.backends,
            lambda name: roster.load(book, name),  # not of the turn, which is gone at its end then
            roster.is_settled,
            self.orders,
            self.book.queues.sharing.estimates,
            self.time,
            away(roster, self.orders),
            self.windows,
        )


def _has_not_begun(job: Job) -> bool:
    return job.state is State.RUNNING and job.started is None
