"""Jobs that have used up their device seconds, by their request or by their tenant's limit."""

import msgspec

from broker.core.book import Book
from broker.core.catalogue import Catalogue
from broker.core.inputs import Reported, Submitted
from broker.core.roster import Roster
from broker.core.turn import Turn
from executors.scripted import scripted_backend
from schemas.events import AnyEvent, CallMetered, Cancelled, CancelRequested, Completed, Queued
from schemas.inbox import CancelAttempt
from schemas.ledger import InputPosition
from schemas.reports import BEGAN, Body, Metered, Report, Returned, Stopped
from schemas.requests import SubmitJob
from schemas.tenants import NO_QUOTA, Quota
from schemas.values import JobKey, State
from schemas.workers import BackendAnnounced, Heartbeat
from tests.support.broker import hello_world

KEY = JobKey("small", "j1")
BEGUN = "2026-11-29T10:00:00.000Z"


class Lab:
    """One slot on a backend, which is a device unless it is *simulated*."""

    def __init__(self, quota: Quota = NO_QUOTA, *, simulated: bool = False) -> None:
        self.book, self.roster, self.quota, self.number = Book(10), Roster(), quota, 0
        self.time = BEGUN
        self.hear(msgspec.structs.replace(scripted_backend(), simulator=simulated))

    def hear(self, backend: BackendAnnounced) -> None:
        turn = self.turn()
        turn.take(Heartbeat(worker="w", instance="i", slots=1, backends=(backend.name,)))
        turn.take(backend)

    def turn(self) -> Turn:
        catalogue = Catalogue([hello_world()])
        return Turn(self.book, self.roster, 1, self.time, catalogue, quota_of=lambda _: self.quota)

    def begin(self, most: float | None) -> None:
        turn = self.turn()
        body = SubmitJob(program_id="hello-world", max_device_seconds=most)
        turn.take(Submitted(InputPosition("requests", 0, 0), KEY, body))
        queued = turn.entries[0].event
        assert isinstance(queued, Queued)
        self.queued = queued
        turn.dispatch()
        self.report(BEGAN)

    def again(self) -> None:
        """As if nobody had heard of the job."""
        sharing = self.book.queues.sharing
        self.book, self.number = Book(10), 0
        self.book.queues.sharing.resume(sharing.told())

    def report(self, body: Body) -> tuple[list[AnyEvent], list[str]]:
        """The events that follow, and why the worker is told to end the attempt."""
        self.number += 1
        report = Report(
            tenant=KEY.tenant,
            job_id=KEY.job_id,
            attempt=1,
            epoch=1,
            number=self.number,
            worker="w",
            instance="i",
            time=self.time,
            body=body,
        )
        turn = self.turn()
        turn.take(Reported(InputPosition("reports", 0, self.number), report))
        return self.told(turn)

    def tick(self, time: str) -> tuple[list[AnyEvent], list[str]]:
        self.time = time
        turn = self.turn()
        turn.tick()
        return self.told(turn)

    def told(self, turn: Turn) -> tuple[list[AnyEvent], list[str]]:
        ends = [it.body.reason for it in turn.instructions if isinstance(it.body, CancelAttempt)]
        return [entry.event for entry in turn.entries], ends


def test_a_job_above_its_own_budget_is_ended_and_says_what_it_took() -> None:
    lab = Lab()
    lab.begin(2.0)

    within, told = lab.report(Metered("a", 1.5, final=True))
    above, ends = lab.report(Metered("b", 0.75))
    [end], _ = lab.report(Stopped("budget"))

    assert [type(event) for event in within] == [CallMetered]
    assert told == []
    metered, requested = above
    assert isinstance(metered, CallMetered)
    assert metered.job_device_seconds == 2.25
    assert isinstance(requested, CancelRequested)
    assert requested.reason == "budget"
    assert ends == ["budget"]
    assert isinstance(end, Cancelled)
    assert end.reason == "budget"
    assert end.message == "it has used 2.25 device seconds, and its request allows 2"
    assert end.device_seconds == 2.25


def test_a_job_that_takes_just_what_it_may_goes_on() -> None:
    lab = Lab()
    lab.begin(2.0)

    metered, ends = lab.report(Metered("a", 2.0, final=True))
    [end], _ = lab.report(Returned(msgspec.Raw(b"1")))

    assert (len(metered), ends) == (1, [])
    assert isinstance(end, Completed)
    assert end.device_seconds == 2.0


def test_a_job_is_ended_when_its_tenant_has_no_device_seconds_left() -> None:
    lab = Lab(Quota(device_seconds=1.0))
    lab.begin(None)

    _, ends = lab.report(Metered("a", 1.25))
    [end], _ = lab.report(Stopped("budget"))

    assert ends == ["budget"]
    assert isinstance(end, Cancelled)
    assert end.message == "its tenant has no device seconds left; it has used 1.25"


def test_on_a_simulator_what_runs_counts_as_it_runs() -> None:
    own, of_tenant = Lab(simulated=True), Lab(Quota(device_seconds=60), simulated=True)
    own.begin(60.0)
    of_tenant.begin(None)

    for lab in (own, of_tenant):
        assert lab.tick("2026-11-29T10:00:59.500Z") == ([], [])
        [requested], ends = lab.tick("2026-11-29T10:01:00.500Z")
        assert isinstance(requested, CancelRequested)
        assert ends == ["budget"]


def test_on_a_device_a_job_that_waits_there_uses_nothing() -> None:
    lab = Lab()
    lab.begin(1.0)

    assert lab.tick("2026-11-29T10:00:30.000Z") == ([], [])


def test_a_limit_that_is_lowered_ends_what_is_above_it_by_then() -> None:
    lab = Lab(Quota(device_seconds=10.0))
    lab.begin(None)
    lab.report(Metered("a", 5.0))

    assert lab.tick("2026-11-29T10:00:01.000Z") == ([], [])
    lab.quota = Quota(device_seconds=4.0)
    assert lab.tick("2026-11-29T10:00:02.000Z")[1] == ["budget"]


def test_whoever_takes_over_knows_what_a_job_has_used() -> None:
    lab = Lab()
    lab.begin(2.0)
    lab.report(Metered("a", 1.5))
    job = lab.book.jobs[KEY]
    lab.book = Book(10)
    lab.book.restore(job)

    _, ends = lab.report(Metered("a", 2.5))

    assert ends == ["budget"]
    assert lab.book.jobs[KEY].state is State.CANCELLING


def test_a_job_is_told_what_such_jobs_took_there_before_it_runs() -> None:
    lab, estimates = Lab(), []
    for _ in range(2):
        lab.begin(None)
        lab.report(Metered("a", 2.5, final=True))
        lab.report(Returned(msgspec.Raw(b"1")))
        estimates.append(lab.queued.estimated_device_seconds)
        lab.again()

    assert estimates == [None, 2.5]
