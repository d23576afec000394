"""Which errors are tried again, how often, and when."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from broker.core.book import Book
from broker.core.catalogue import Catalogue
from broker.core.inputs import CancelAsked, Reported, SessionAsked, Submitted
from broker.core.retries import CLASSES, LONGEST, SPREAD, class_of, pause
from broker.core.roster import Roster
from broker.core.turn import Turn
from broker.telemetry.times import iso, seconds_of
from executors.scripted import scripted_backend
from schemas.events import AnyEvent, Dispatched, Failed, Moved, Retried
from schemas.inbox import Dispatch
from schemas.jobs import RETRIED, Job, JobDetails, Retries
from schemas.ledger import Entry, InputPosition
from schemas.reports import (
    Accepted,
    Body,
    Died,
    Intended,
    Raised,
    Report,
    Stopped,
    Withdrawn,
)
from schemas.requests import AskedRetries, CancelSession, OpenSession, SubmitJob
from schemas.sessions import Mode, session_key
from schemas.values import ErrorClass, JobKey, Reason, State
from schemas.workers import Heartbeat
from tests.support.broker import hello_world
from tests.support.processes import ROOT

NOON = 1_800_000_000.0
KEY = JobKey("default", "j1")


class Desk:
    """A broker's core whose clock is turned by hand."""

    def __init__(self, slots: int = 1, backends: tuple[str, ...] = ("scripted",)) -> None:
        self.book, self.roster, self.now = Book(10), Roster(), NOON
        self.ledger: list[Entry] = []
        self.told: list[Dispatch] = []
        self.numbers: dict[int, int] = {}  # of reports, by attempt
        self.asked = 0
        beat = Heartbeat(worker="w", instance="i", slots=slots, backends=backends)
        self.take(*map(scripted_backend, backends), beat)

    def take(self, *items: object) -> list[AnyEvent]:
        turn = Turn(self.book, self.roster, 1, iso(self.now), Catalogue([hello_world()]))
        for item in items:
            turn.take(item)  # type: ignore[arg-type]
        turn.settle()
        turn.dispatch()
        self.ledger += turn.entries
        self.told += [it.body for it in turn.instructions if isinstance(it.body, Dispatch)]
        return [entry.event for entry in turn.entries]

    def position(self) -> InputPosition:
        self.asked += 1
        return InputPosition("requests", 0, self.asked)

    def submit(
        self, key: JobKey = KEY, retries: AskedRetries | None = None, **more: Any
    ) -> list[AnyEvent]:
        body = SubmitJob(program_id="hello-world", retries=retries, **more)
        return self.take(Submitted(self.position(), key, body))

    def end(self, body: Body, key: JobKey = KEY) -> list[AnyEvent]:
        """The attempt at the job ends so."""
        job = self.book.jobs[key]
        number = self.numbers[job.attempt] = self.numbers.get(job.attempt, 0) + 1
        report = Report(
            tenant=key.tenant,
            job_id=key.job_id,
            attempt=job.attempt,
            epoch=job.epoch,
            number=number,
            worker="w",
            instance="i",
            time=iso(self.now),
            body=body,
        )
        return self.take(Reported(self.position(), report))

    def lose(self, times: int, key: JobKey = KEY) -> Retried:
        """So many attempts are lost, each a while after the one before."""
        found: list[AnyEvent] = []
        for _ in range(times):
            self.now += 100
            self.take()
            found = self.end(Died("worker_lost", "gone"), key)
        assert isinstance(found[0], Retried)
        return found[0]


def kinds(events: Sequence[AnyEvent]) -> list[str]:
    return [event.kind for event in events]


def job(limit: float = 3600.0, attempt: int = 1) -> Job:
    details = JobDetails(program_id="p", program_version="1", time_limit=limit)
    state = State.RUNNING
    return Job(
        tenant="t",
        job_id="j",
        seq=3,
        state=state,
        created=iso(NOON),
        details=details,
        attempt=attempt,
    )


def test_every_reason_is_of_a_class_that_the_docs_name_with_it() -> None:
    page, *_ = (ROOT / "docs" / "retries.md").read_text().split("\n## ")
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line[:2] == "| "}

    assert {ErrorClass(name[1:-1]) for name in rows if name[:1] == "`"} == set(ErrorClass)
    for reason, found in CLASSES.items():
        assert f"`{reason}`" in rows[f"`{found}`"]
    for reason in set(Reason) - set(CLASSES):
        assert class_of(reason) is ErrorClass.DETERMINISTIC


@pytest.mark.parametrize("reason", sorted(set(Reason) - set(CLASSES)))
@pytest.mark.parametrize("body", [Died, Raised])
def test_a_deterministic_error_is_never_retried(body: type[Died | Raised], reason: Reason) -> None:
    desk = Desk()
    desk.submit(retries=AskedRetries(10, 10))

    assert kinds(desk.end(body(reason, "no"))) == ["failed"]


def test_who_has_used_up_a_budget_is_not_tried_again() -> None:
    desk = Desk()
    desk.submit(retries=AskedRetries(10, 10))

    assert kinds(desk.end(Stopped(Reason.BUDGET))) == ["cancelled"]


@pytest.mark.parametrize("reason", [reason for reason in CLASSES if CLASSES[reason] in RETRIED])
def test_each_class_has_a_count_of_its_own(reason: str) -> None:
    desk, found = Desk(), list[AnyEvent]()
    other = "device_away" if class_of(reason) is ErrorClass.TRANSPORT else "worker_lost"
    retries = AskedRetries(transport=2, device_down=2)
    desk.submit(retries=retries)
    for number, ended_as in enumerate((reason, other, reason, other, reason)):
        found += desk.end(Died(ended_as, f"the way {number}"))[:1]
        desk.now += 100
        desk.take()

    assert kinds(found) == ["retried"] * 4 + ["failed"]
    told = [(event.retry, event.retries) for event in found if isinstance(event, Retried)]
    assert told == [(1, 2), (1, 2), (2, 2), (2, 2)]


@pytest.mark.parametrize(
    ("asked", "retries"),
    [
        (None, 2),
        (AskedRetries(transport=5), 5),
        (AskedRetries(device_down=7), 7),
        (AskedRetries(transport=5, device_down=0), 0),
    ],
)
def test_where_nothing_is_said_of_devices_that_are_down_they_count_as_transport_does(
    asked: AskedRetries | None, retries: int
) -> None:
    desk = Desk()
    desk.submit(retries=asked)
    [first, *_] = desk.end(Died("device_lost", "gone"))

    assert (first.retries if isinstance(first, Retried) else 0) == retries


def test_the_first_retry_of_a_lost_worker_comes_at_once_and_later_ones_after_ever_longer() -> None:
    running = job()

    waits = [pause(running, ErrorClass.TRANSPORT, number) for number in range(1, 11)]
    down = [pause(running, ErrorClass.DEVICE_DOWN, number) for number in range(1, 11)]

    longest = [0, 1, 2, 4, 8, 16, 32, LONGEST, LONGEST, LONGEST]
    for wait, most in zip(waits, longest, strict=True):
        assert most * (1 - SPREAD) <= wait <= most
    assert down[:9] == waits[1:]
    assert [pause(running, ErrorClass.TRANSPORT, number) for number in range(1, 11)] == waits


def test_jobs_that_are_lost_together_do_not_come_back_together() -> None:
    waits = {
        pause(msgspec.structs.replace(job(), job_id=f"j{n}"), ErrorClass.DEVICE_DOWN, 9)
        for n in range(100)
    }

    assert len(waits) == 100
    assert max(waits) - min(waits) > 10


def test_a_job_waits_for_its_next_attempt_for_no_longer_than_it_may_run() -> None:
    assert pause(job(limit=5.0), ErrorClass.DEVICE_DOWN, 10) <= 5.0


def test_a_job_rests_until_its_time_while_others_pass_and_then_goes_first() -> None:
    desk, other, third = Desk(), JobKey("default", "j2"), JobKey("default", "j3")
    desk.submit()
    lost = desk.lose(2)
    assert lost.next_attempt_at is not None
    until = seconds_of(lost.next_attempt_at)
    assert desk.now < until <= desk.now + 1

    passes = desk.submit(other)
    desk.submit(third)
    desk.now = until - 0.01
    early = desk.take()
    desk.now = until
    desk.take()
    goes = desk.end(Raised("program_error", "no"), other)

    assert kinds(passes) == ["queued", "dispatched"]
    assert early == []
    assert [event.job_id for event in goes if isinstance(event, Dispatched)] == ["j1"]


def test_a_job_that_rests_counts_as_one_that_waits() -> None:
    desk = Desk()
    desk.submit()
    desk.lose(2)

    assert desk.book.usage_of("default").queued == 1
    assert len(desk.book.queues) == 0


def test_a_job_that_rests_is_cancelled_at_once_and_never_tried_again() -> None:
    desk = Desk()
    desk.submit()
    desk.lose(2)
    cancelled = desk.take(CancelAsked(desk.position(), KEY))
    desk.now += 100

    assert kinds(cancelled) == ["cancelled"]
    assert desk.take() == []
    assert desk.book.usage_of("default").queued == 0
    assert desk.book.jobs[KEY].next_attempt_at is None


def test_a_job_that_rests_ends_with_its_session() -> None:
    desk, session = Desk(), session_key("default", "s1")
    opened = OpenSession(mode=Mode.BATCH, backend="scripted")
    desk.take(SessionAsked(desk.position(), session, "s1", opened))
    desk.submit(session_id="s1")
    desk.lose(2)
    ended = desk.take(SessionAsked(desk.position(), session, "s1", CancelSession("s1")))
    desk.now += 100

    assert kinds(ended) == ["cancelled"]
    assert desk.take() == []


def test_a_broker_that_takes_over_tries_again_at_the_same_moment() -> None:
    desk = Desk()
    desk.submit()
    lost = desk.lose(2)
    heir = Desk()
    for entry in desk.ledger:
        heir.book.record(entry)
    by_snapshot = Desk()
    by_snapshot.book.restore(desk.book.jobs[KEY])

    assert lost.next_attempt_at is not None
    for each in (desk, heir, by_snapshot):
        each.now = seconds_of(lost.next_attempt_at) - 0.001
        assert each.take() == []
        each.now += 0.001
        assert kinds(each.take()) == ["dispatched"]


def test_those_that_rest_are_tried_again_in_the_order_in_which_they_were_lost() -> None:
    desk, names = Desk(slots=9), [JobKey("default", f"j{number}") for number in range(9)]
    for key in names:
        desk.submit(key)
    desk.now += 100
    for key in names:
        desk.end(Died("worker_lost", "gone"), key)  # tried again at once
    for key in names:
        desk.end(Died("worker_lost", "gone"), key)
    desk.take(Heartbeat(worker="w", instance="i", slots=0, backends=("scripted",)))
    while len(desk.book.resting):
        desk.now += 0.01  # their times differ
        desk.take()

    beat = Heartbeat(worker="w", instance="i", slots=9, backends=("scripted",))
    assert [event.job_id for event in desk.take(beat)] == [key.job_id for key in names]


def test_events_of_an_earlier_version_count_as_they_did() -> None:
    desk = Desk()
    desk.submit()
    running = desk.book.jobs[KEY]
    for reason, losses in (("worker_lost", 1), ("worker_busy", 0), ("child_crashed", 1)):
        event = Retried(
            job_id="j1",
            seq=running.seq + 1,
            time=iso(desk.now),
            state=State.QUEUED,
            attempt=1,
            reason=reason,
            message="gone",
            backend="scripted",
        )
        book = Book(10)
        book.restore(running)
        assert book.record(Entry(KEY, event, 1)).losses == losses


def test_a_job_that_has_had_its_tries_says_so() -> None:
    desk = Desk()
    desk.submit(retries=AskedRetries(device_down=0))
    [failed, *_] = desk.end(Died("device_lost", "its process ended"))

    assert isinstance(failed, Failed)
    assert (failed.reason, failed.message) == (
        "device_lost",
        "attempt 1 was lost: its process ended",
    )


@pytest.mark.parametrize(
    ("asked", "leaves"),
    [
        (None, [False, False]),
        (AskedRetries(transport=9), [False, False]),
        (AskedRetries(device_down=2), [True, True, False]),
    ],
)
def test_an_attempt_leaves_a_device_that_is_down_where_that_is_asked_for_and_another_may_follow(
    asked: AskedRetries | None, leaves: list[bool]
) -> None:
    desk = Desk()
    desk.submit(retries=asked)
    for number in range(len(leaves) - 1):
        desk.end(Died("device_away", f"the way {number}"))
        desk.now += 100
        desk.take()

    assert [dispatch.leaves for dispatch in desk.told] == leaves


TWO = ("scripted", "zealous")
MOVES: dict[str, Any] = {"backend_requirements": {"if_unavailable": "move"}}


@pytest.mark.parametrize("asked", [{}, {"backend": "scripted"} | MOVES])
def test_a_job_that_may_move_goes_elsewhere_at_once_when_its_device_is_down(
    asked: dict[str, Any],
) -> None:
    desk = Desk(backends=TWO)
    desk.submit(retries=AskedRetries(device_down=3), **asked)
    was = desk.book.jobs[KEY].backend
    told = desk.end(Died("device_away", "maintained"))

    assert kinds(told) == ["retried", "moved", "dispatched"]
    assert isinstance(told[1], Moved)
    assert told[1].why.startswith(f"{was} is down; ")
    assert desk.book.jobs[KEY].backend != was
    assert desk.book.jobs[KEY].next_attempt_at is None


@pytest.mark.parametrize(
    ("asked", "before", "reason"),
    [
        ({"backend": "scripted"}, (), "device_away"),  # it waits there, as it named the backend
        (MOVES, (Intended("t", 1),), "device_lost"),  # the vendor may have it
        (MOVES, (Intended("t", 1), Withdrawn("t"), Accepted("t", "v1")), "device_away"),
        (MOVES, (), "worker_lost"),
    ],
)
def test_a_job_that_may_not_move_or_whose_device_is_not_down_stays(
    asked: dict[str, Any], before: tuple[Body, ...], reason: str
) -> None:
    desk = Desk(backends=TWO)
    desk.submit(retries=AskedRetries(device_down=3), **asked)
    was = desk.book.jobs[KEY].backend
    for body in before:
        desk.end(body)
    told = desk.end(Died(reason, "gone"))

    assert "moved" not in kinds(told)
    assert desk.book.jobs[KEY].backend == was


def test_what_was_surely_not_submitted_keeps_no_job_where_it_is() -> None:
    desk = Desk(backends=TWO)
    desk.submit(retries=AskedRetries(device_down=3), **MOVES)
    desk.end(Intended("t", 1))
    desk.end(Withdrawn("t"))

    assert kinds(desk.end(Died("device_away", "maintained"))) == ["retried", "moved", "dispatched"]


def test_a_broker_that_takes_over_between_a_retry_and_a_move_moves_the_job() -> None:
    desk = Desk(backends=TWO)
    desk.submit(retries=AskedRetries(device_down=3), **MOVES)
    desk.end(Died("device_away", "maintained"))
    heir = Desk(backends=TWO)
    for entry in desk.ledger[:3]:
        heir.book.record(entry)
    heir.now = desk.now

    assert kinds(heir.take()) == ["moved", "dispatched"]


def test_a_default_stands_in_no_record() -> None:
    assert msgspec.json.encode(Retries()) == b"{}"
    assert msgspec.json.decode(b"{}", type=Retries) == Retries(2, None)
