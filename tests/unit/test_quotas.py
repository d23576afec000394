"""How many jobs a tenant may have, decided when it asks for one more."""

from collections.abc import Sequence

from broker.core.book import Book
from broker.core.catalogue import Catalogue
from broker.core.inputs import Submitted
from broker.core.roster import Roster
from broker.core.turn import Turn
from executors.scripted import scripted_backend
from schemas.events import Queued, Rejected
from schemas.ledger import InputPosition
from schemas.requests import SubmitJob
from schemas.tenants import NO_QUOTA, Quota
from schemas.values import JobKey
from schemas.workers import Heartbeat
from tests.support.broker import hello_world


class Desk:
    """A book with a worker of two slots; the tenant `small` has a quota."""

    def __init__(self, quota: Quota) -> None:
        self.book, self.roster, self.quota, self.asked = Book(10), Roster(), quota, 0
        turn = self.turn()
        turn.take(Heartbeat(worker="w", instance="i", slots=2, backends=("scripted",)))
        turn.take(scripted_backend())

    def turn(self) -> Turn:
        catalogue = Catalogue([hello_world()])
        quota_of = {"small": self.quota}.get
        return Turn(
            self.book,
            self.roster,
            1,
            "t",
            catalogue,
            quota_of=lambda tenant: quota_of(tenant, NO_QUOTA),
        )

    def submit(self, tenant: str = "small", *, dispatch: bool = False) -> Queued | Rejected:
        self.asked += 1
        turn = self.turn()
        key = JobKey(tenant, f"j{self.asked}")
        position = InputPosition("requests", 0, self.asked)
        turn.take(Submitted(position, key, SubmitJob(program_id="hello-world")))
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


def test_a_tenant_has_as_many_running_jobs_as_it_may() -> None:
    desk = Desk(Quota(running=1))

    events = [desk.submit(dispatch=True) for _ in range(2)]

    assert kinds(events) == ["Queued", "Rejected"]
    assert isinstance(events[-1], Rejected)
    assert "1 running jobs and has 1" in (events[-1].message or "")


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
