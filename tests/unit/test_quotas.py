"""How many jobs a tenant may have, decided when it asks for one more."""

from collections.abc import Mapping, Sequence

import msgspec

from broker.core.book import Book
from broker.core.catalogue import Catalogue
from broker.core.inputs import CancelAsked, Reported, Submitted
from broker.core.overview import queue_snapshots
from broker.core.roster import Roster
from broker.core.turn import Turn
from broker.telemetry.times import seconds_of
from executors.scripted import scripted_backend
from schemas.events import Queued, Rejected
from schemas.jobs import Retries
from schemas.ledger import InputPosition
from schemas.reports import BEGAN, Body, Metered, Report, Returned
from schemas.requests import AskedRetries, SubmitJob
from schemas.tenants import NO_QUOTA, Quota
from schemas.values import JobKey
from schemas.workers import Heartbeat, QueueSnapshot
from tests.support.broker import hello_world


class Desk:
    """A book with a worker of two slots; the tenant `small` has a quota."""

    def __init__(self, quota: Quota) -> None:
        self.book, self.roster, self.quota, self.asked = Book(10), Roster(), quota, 0
        self.time = "2026-11-29T10:00:00.000Z"
        turn = self.turn()
        turn.take(Heartbeat(worker="w", instance="i", slots=2, backends=("scripted",)))
        turn.take(scripted_backend())

    def turn(self) -> Turn:
        catalogue = Catalogue([hello_world()])
        return Turn(self.book, self.roster, 1, self.time, catalogue, quota_of=self.quota_of)

    def quota_of(self, tenant: str) -> Quota:
        return self.quota if tenant == "small" else NO_QUOTA

    def running(self) -> list[str]:
        return [str(key) for key in self.book.attempts]

    def queue(self) -> QueueSnapshot:
        """What is told of the queue now."""
        at = seconds_of(self.time)
        return queue_snapshots(self.book, self.roster, [], {}, quota_of=self.quota_of, at=at)[0]

    def held(self) -> Mapping[str, int]:
        return self.queue().held

    def end(self, name: str) -> None:
        """The job ends well, and slots are given away again."""
        self.report(name, Returned(msgspec.Raw(b"1")))

    def report(self, name: str, body: Body, number: int = 1) -> None:
        key = JobKey.decode(name.encode())
        attempt = self.book.attempts[key]
        report = Report(
            tenant=key.tenant,
            job_id=key.job_id,
            attempt=attempt.number,
            epoch=attempt.epoch,
            worker=attempt.worker,
            instance=attempt.instance,
            time="t",
            number=number,
            body=body,
        )
        turn = self.turn()
        turn.take(Reported(InputPosition("reports", 0, 0), report))
        turn.dispatch()

    def submit(
        self,
        tenant: str = "small",
        *,
        dispatch: bool = False,
        params: bytes = b"{}",
        retries: int | None = None,
    ) -> Queued | Rejected:
        self.asked += 1
        turn = self.turn()
        key = JobKey(tenant, f"j{self.asked}")
        position = InputPosition("requests", 0, self.asked)
        asked = None if retries is None else AskedRetries(retries)
        body = SubmitJob(program_id="hello-world", params=msgspec.Raw(params), retries=asked)
        turn.take(Submitted(position, key, body))
        event = turn.entries[0].event
        assert isinstance(event, Queued | Rejected)
        if dispatch:
            turn.dispatch()
        return event


def kinds(events: Sequence[Queued | Rejected]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_tenant_has_as_many_waiting_jobs_as_it_may_and_others_have_theirs() -> None:
    desk = Desk(Quota(queued=2))

    events = [desk.submit() for _ in range(3)]
    others = [desk.submit("other") for _ in range(3)]

    assert kinds(events) == ["Queued", "Queued", "Rejected"]
    assert kinds(others) == ["Queued"] * 3
    assert isinstance(events[-1], Rejected)
    assert events[-1].reason == "quota"
    assert events[-1].message == "tenant small may have 2 queued jobs and has 2"


def test_a_job_that_begins_makes_room_for_one_that_waits() -> None:
    desk = Desk(Quota(queued=1))

    events = [desk.submit(dispatch=True) for _ in range(4)]

    assert kinds(events) == ["Queued", "Queued", "Queued", "Rejected"]  # two slots, one waits


def test_a_tenant_at_its_limit_waits_and_others_pass() -> None:
    desk = Desk(Quota(running=1))

    events = [desk.submit(dispatch=True) for _ in range(3)]
    desk.submit("other", dispatch=True)

    assert kinds(events) == ["Queued"] * 3
    assert desk.running() == ["small/j1", "other/j4"]
    assert [str(key) for key in desk.book.queues.waiting("scripted", 9)] == ["small/j2", "small/j3"]


def test_a_tenant_at_its_limit_goes_on_when_one_of_its_jobs_ends() -> None:
    desk = Desk(Quota(running=1))
    for _ in range(3):
        desk.submit(dispatch=True)

    desk.end("small/j1")

    assert desk.running() == ["small/j2"]


def test_a_tenant_at_its_limit_goes_on_when_the_limit_is_raised() -> None:
    desk = Desk(Quota(running=1))
    for _ in range(3):
        desk.submit(dispatch=True)

    desk.quota = Quota(running=2)
    turn = desk.turn()
    turn.tick()
    turn.dispatch()

    assert desk.running() == ["small/j1", "small/j2"]


def test_why_a_tenant_waits_is_told_with_the_queue_while_it_does() -> None:
    desk = Desk(Quota(running=1))
    for _ in range(2):
        desk.submit(dispatch=True)

    held = desk.held()
    desk.end("small/j1")

    assert (held, desk.held()) == ({"small": 1}, {})


def test_a_job_of_a_tenant_at_its_limit_can_be_cancelled_as_any() -> None:
    desk = Desk(Quota(running=1))
    for _ in range(3):
        desk.submit(dispatch=True)

    turn = desk.turn()
    turn.take(CancelAsked(InputPosition("requests", 0, 9), JobKey("small", "j2")))
    turn.dispatch()
    desk.end("small/j1")

    assert desk.running() == ["small/j3"]


def test_what_waits_is_counted_by_tenant_also_after_a_recovery() -> None:
    desk = Desk(NO_QUOTA)
    for _ in range(3):
        desk.submit()
    desk.submit("other")
    restored = Book(10)
    for key in [JobKey("small", f"j{number}") for number in (1, 2, 3)]:
        restored.restore(desk.book.jobs[key])
    restored.queues.remove(JobKey("small", "j2"))

    assert desk.book.queues.count_of("small") == 3
    assert restored.queues.count_of("small") == 2
    assert restored.queues.count_of("other") == 0


def test_who_has_used_its_device_seconds_is_refused_with_the_limit_and_the_use() -> None:
    desk = Desk(Quota(device_seconds=2.5))
    desk.submit(dispatch=True)
    desk.report("small/j1", Metered("call", 3.25))

    event, other = desk.submit(), desk.submit("other")

    assert isinstance(event, Rejected)
    assert event.reason == "quota"
    assert event.message == "tenant small may use 2.5 device seconds in 28 days and has used 3.25"
    assert event.violations[0].rule == "quota.device_seconds: 2.5"
    assert isinstance(other, Queued)


def test_what_ran_on_a_simulator_counts_as_long_as_it_ran_and_for_28_days() -> None:
    desk = Desk(Quota(device_seconds=60))
    desk.submit(dispatch=True)
    desk.report("small/j1", BEGAN)
    desk.time = "2026-11-29T10:01:00.500Z"
    desk.report("small/j1", Returned(msgspec.Raw(b"1")), 2)

    refused = desk.submit()
    desk.time = "2026-12-26T23:59:59.999Z"
    still_refused = desk.submit()
    desk.time = "2026-12-27T00:00:00.000Z"
    accepted = desk.submit()

    assert kinds([refused, still_refused, accepted]) == ["Rejected", "Rejected", "Queued"]
    assert isinstance(refused, Rejected)
    assert refused.message.endswith("and has used 60.5")


def test_jobs_that_wait_when_the_device_seconds_are_used_up_wait_on() -> None:
    desk = Desk(Quota(device_seconds=3))
    for _ in range(3):
        desk.submit(dispatch=True)  # two slots
    desk.report("small/j1", Metered("call", 3.0))

    desk.end("small/j2")
    held, told = desk.running(), desk.queue()
    desk.quota = Quota(device_seconds=4)
    turn = desk.turn()
    turn.tick()
    turn.dispatch()

    assert held == ["small/j1"]
    assert (told.spent, told.held) == ({"small": 3.0}, {})
    assert desk.running() == ["small/j1", "small/j3"]


def test_bytes_of_inputs_are_counted_as_they_are_accepted() -> None:
    desk = Desk(Quota(bytes=45))

    events = [desk.submit(params=b'{"iterations": 3}') for _ in range(3)]  # 17 bytes each

    assert kinds(events) == ["Queued", "Queued", "Rejected"]
    assert isinstance(events[-1], Rejected)
    assert events[-1].message == (
        "tenant small may ask for 45 bytes of inputs in 28 days, has asked for 34, "
        "and this job asks for 17"
    )


def test_a_job_asks_for_as_many_retries_as_its_tenant_may_have() -> None:
    desk = Desk(Quota(retries=1))

    usual, fewer, more = desk.submit(), desk.submit(retries=0), desk.submit(retries=2)

    assert isinstance(usual, Queued)
    assert isinstance(fewer, Queued)
    assert (usual.job.retries, fewer.job.retries) == (Retries(1), Retries(0))
    assert isinstance(more, Rejected)
    assert more.message == "tenant small may have 1 retries of a job, and this one asks for 2"
