"""Facts about calls to a vendor: who may tell them, what is kept, and what an operator decides."""

from typing import Any

import pytest

from broker.core.book import Book
from broker.core.calls import MOST
from broker.core.catalogue import Catalogue
from broker.core.inputs import CancelAsked, Reported, ResolveAsked, Submitted
from broker.core.leases import Suspect
from broker.core.roster import Roster
from broker.core.turn import Turn
from executors.scripted import scripted_backend
from schemas.calls import Calibration, Call
from schemas.events import (
    AnyEvent,
    CallAccepted,
    CallIntended,
    CallMetered,
    Cancelled,
    Failed,
    Parked,
    Resolved,
)
from schemas.inbox import Dispatch, Recorded
from schemas.jobs import Job
from schemas.ledger import InputPosition
from schemas.operators import Resolution, ResolveJob
from schemas.reports import (
    BEGAN,
    Accepted,
    Body,
    Calibrated,
    Died,
    Intended,
    Metered,
    Raised,
    Report,
    Returned,
    Withdrawn,
)
from schemas.reports import Parked as IsParked
from schemas.requests import SubmitJob
from schemas.values import BlobRef, JobKey, State
from schemas.workers import Heartbeat
from tests.support.broker import hello_world

KEY = JobKey("default", "j1")
PROPERTIES = BlobRef("0" * 64, 2)


class Lab:
    """One job on a device, and one turn after the other."""

    def __init__(self) -> None:
        self.book, self.roster = Book(10), Roster()
        self.offset = 0
        self.numbers: dict[int, int] = {}
        self.told: list[Any] = []
        self.events: list[AnyEvent] = []
        self.letters: list[str] = []
        device = scripted_backend("device", simulator=False)
        self.take(device, Heartbeat(worker="w", instance="i", slots=1, backends=("device",)))
        self.take(Submitted(self.position(), KEY, SubmitJob(program_id="hello-world")))

    def take(self, *items: Any) -> None:
        turn = Turn(self.book, self.roster, 1, "t", Catalogue([hello_world()]))
        for item in items:
            turn.take(item)
        turn.dispatch()
        self.told += turn.instructions
        self.events += [entry.event for entry in turn.entries]
        self.letters += [letter.code for letter in turn.letters]

    def position(self) -> InputPosition:
        self.offset += 1
        return InputPosition("reports", 0, self.offset)

    def say(self, *bodies: Body, attempt: int | None = None) -> None:
        """The attempt with that number, or the newest, reports."""
        which = attempt or self.job.attempt
        for body in bodies:
            self.numbers[which] = number = self.numbers.get(which, 0) + 1
            self.take(self.report(body, which, number))

    def report(self, body: Body, attempt: int, number: int) -> Reported:
        report = Report(
            tenant=KEY.tenant,
            job_id=KEY.job_id,
            attempt=attempt,
            epoch=1,
            number=number,
            worker="w",
            instance="i",
            time="t",
            body=body,
        )
        return Reported(self.position(), report)

    def lose(self) -> None:
        self.take(Suspect(KEY, self.job.attempt, "the worker is gone"))

    def resolve(
        self, resolution: Resolution, vendor_job_id: str | None = None, attempt: int = 1
    ) -> None:
        body = ResolveJob(
            tenant=KEY.tenant,
            job_id=KEY.job_id,
            attempt=attempt,
            resolution=resolution,
            vendor_job_id=vendor_job_id,
        )
        self.take(ResolveAsked(self.position(), KEY, body))

    @property
    def job(self) -> Job:
        return self.book.jobs[KEY]

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    @property
    def dispatches(self) -> list[Dispatch]:
        return [told.body for told in self.told if isinstance(told.body, Dispatch)]

    @property
    def recorded(self) -> list[tuple[int, int]]:
        """Attempt and number of the reports that the worker was told are on the ledger."""
        said = [told for told in self.told if isinstance(told.body, Recorded)]
        assert all(told.waits for told in said)
        return [(told.body.attempt, told.body.number) for told in said]


def test_an_attempt_tells_its_calls_and_the_job_keeps_them() -> None:
    lab = Lab()
    lab.say(BEGAN, Calibrated("monday", properties_ref=PROPERTIES), Intended("t1", 1))
    lab.say(Accepted("t1", "v1"), Metered("t1", 1.5), Metered("t1", 2.5, 4.0, "EUR", final=True))
    lab.say(Intended("t2", 2))

    assert lab.kinds[2:] == [
        "started",
        "calibrated",
        "call_intended",
        "call_accepted",
        "call_metered",
        "call_metered",
        "call_intended",
    ]
    assert [event.seq for event in lab.events] == list(range(1, len(lab.events) + 1))
    assert lab.job.calls == (
        Call(
            tag="t1",
            number=1,
            attempt=1,
            vendor_job_id="v1",
            device_seconds=2.5,
            cost=4.0,
            currency="EUR",
            final=True,
        ),
        Call(tag="t2", number=2, attempt=1),
    )
    assert lab.job.device_seconds == 2.5
    assert lab.job.calibration == Calibration("monday", PROPERTIES)
    assert lab.recorded == [(1, 3), (1, 4), (1, 7)]


def test_the_next_attempt_is_given_what_the_lost_one_has_said() -> None:
    lab = Lab()
    lab.say(BEGAN, Intended("t1", 1), Accepted("t1", "v1"), Intended("t2", 2))
    lab.lose()

    assert lab.dispatches[0].calls == ()
    assert lab.dispatches[1].calls == (
        Call(tag="t1", number=1, attempt=1, vendor_job_id="v1"),
        Call(tag="t2", number=2, attempt=1),
    )


def test_the_id_that_a_lost_attempt_tells_is_recorded_and_what_it_means_to_do_is_not() -> None:
    lab = Lab()
    lab.say(BEGAN, Intended("t1", 1))
    lab.lose()
    lab.say(Accepted("t1", "v1"), Intended("t2", 2), Metered("t1", 3.0), attempt=1)

    assert lab.kinds[-2:] == ["call_accepted", "call_metered"]
    assert lab.events[-1].state is State.RUNNING
    assert [call.vendor_job_id for call in lab.job.calls] == ["v1"]
    assert lab.job.attempt == 2
    assert lab.job.reports == 0  # its own are still to come
    assert (1, 4) not in lab.recorded


def test_an_attempt_that_has_not_submitted_a_call_says_so_and_the_next_one_need_not_ask() -> None:
    lab = Lab()
    lab.say(BEGAN, Intended("t1", 1), Withdrawn("t1"), Withdrawn("t1"))

    assert lab.kinds[-2:] == ["call_intended", "call_withdrawn"]
    lab.say(Died("child_died", "killed"))
    assert [call.again for call in lab.dispatches[-1].calls] == [True]
    lab.say(Intended("t1", 1))
    assert [(call.again, call.attempt) for call in lab.job.calls] == [(False, 2)]


def test_what_another_attempt_may_have_submitted_nobody_withdraws() -> None:
    lab = Lab()
    lab.say(BEGAN, Intended("t1", 1), Intended("t2", 2), Accepted("t2", "v2"))
    lab.say(Withdrawn("t2"))
    lab.lose()
    lab.say(Withdrawn("t1"), attempt=1)
    lab.say(Withdrawn("t1"), Withdrawn("t3"))

    assert "call_withdrawn" not in lab.kinds
    assert lab.letters == []


def test_a_job_that_ends_without_a_withdrawn_call_warns_of_nothing() -> None:
    lab = Lab()
    lab.say(BEGAN, Intended("t1", 1), Withdrawn("t1"), Raised("program_error", "it raised"))

    assert isinstance(lab.events[-1], Failed)
    assert lab.events[-1].warnings == ()


def test_a_lost_attempt_may_tell_an_id_while_the_job_waits_and_it_waits_once() -> None:
    lab = Lab()
    lab.say(BEGAN, Intended("t1", 1))
    lab.take(Heartbeat(worker="w", instance="i", slots=0, backends=("device",)))
    lab.lose()
    lab.say(Accepted("t1", "v1"), attempt=1)

    assert lab.job.state is State.QUEUED
    assert lab.book.queues.count("device") == 1
    lab.take(Heartbeat(worker="w", instance="i", slots=2, backends=("device",)))
    assert [dispatch.attempt for dispatch in lab.dispatches] == [1, 2]
    assert lab.dispatches[-1].calls[0].vendor_job_id == "v1"


def test_what_is_said_again_in_any_order_is_no_news_but_the_worker_is_told_that_it_is_known() -> (
    None
):
    lab = Lab()
    lab.say(BEGAN, Intended("t1", 1), Accepted("t1", "v1"), Metered("t1", 1.0), Metered("t1", 2.0))
    events, job = len(lab.events), lab.job
    said: list[Body] = [Metered("t1", 1.0), Accepted("t1", "v1"), Intended("t1", 1)]

    for number, body in ((4, said[0]), (3, said[1]), (2, said[2]), (9, said[2])):
        lab.take(lab.report(body, 1, number))

    assert len(lab.events) == events
    assert lab.job == job
    assert lab.recorded == [(1, 2), (1, 3), (1, 3), (1, 2), (1, 9)]


def test_a_second_id_for_one_call_is_kept_beside_the_first() -> None:
    lab = Lab()
    lab.say(BEGAN, Intended("t1", 1), Accepted("t1", "v1"), Accepted("t1", "v2"))

    assert [(call.number, call.vendor_job_id) for call in lab.job.calls] == [(1, "v1"), (1, "v2")]


def test_what_may_be_paid_for_after_the_end_is_put_aside_and_the_end_stays_the_last() -> None:
    lab = Lab()
    lab.say(BEGAN, Intended("t1", 1))
    lab.lose()
    lab.say(Returned())
    lab.say(Accepted("t1", "v1"), Intended("t3", 3), attempt=1)

    assert lab.events[-1].terminal
    assert lab.letters == ["late_fact"]

    lab.book.forget(KEY)
    lab.say(Accepted("t1", "v1"), attempt=1)
    assert lab.letters == ["late_fact", "late_fact"]


def test_facts_that_are_read_again_after_the_end_are_not_put_aside() -> None:
    lab = Lab()
    lab.say(BEGAN, Intended("t1", 1), Accepted("t1", "v1"), Metered("t1", 1.0), Returned())
    for number, body in ((3, Accepted("t1", "v1")), (4, Metered("t1", 1.0))):
        lab.take(lab.report(body, 1, number))

    assert not lab.letters


def test_more_calls_than_there_is_room_for_are_counted() -> None:
    lab = Lab()
    lab.say(BEGAN)
    for number in range(1, MOST + 4):
        lab.say(Intended(f"t{number}", number))
        lab.say(Accepted(f"t{number}", f"v{number}"), Metered(f"t{number}", 1.0, final=True))

    assert len(lab.job.calls) == MOST
    assert lab.job.calls_left_out == 3
    assert lab.job.device_seconds == MOST + 3
    assert lab.events[-2].kind == "call_accepted"

    lab.lose()
    assert lab.dispatches[-1].calls_left_out == 3
    lab.say(Accepted(f"t{MOST + 2}", "another"), attempt=1)
    assert lab.letters == ["late_fact"]


# Parked


def parked() -> Lab:
    lab = Lab()
    lab.say(BEGAN, Intended("t1", 1), IsParked("t1", "the vendor does not say"))
    return lab


def test_a_parked_job_runs_to_the_outside_holds_no_slot_and_is_put_before_an_operator() -> None:
    lab = parked()

    event = lab.events[-1]
    assert isinstance(event, Parked)
    assert (event.state, event.reason, event.tag) == (State.RUNNING, "parked", "t1")
    assert (lab.job.state, lab.job.parked, lab.job.worker) == (State.RUNNING, "t1", None)
    assert not lab.book.attempts
    assert lab.letters == ["parked"]
    lab.roster.tick(1000)
    lab.take(Suspect(KEY, 1, "gone"))
    assert lab.events[-1] is event
    assert len(lab.dispatches) == 1


def test_a_parked_call_is_submitted_again_when_an_operator_says_so() -> None:
    lab = parked()
    lab.resolve(Resolution.SUBMIT_AGAIN)

    assert lab.kinds[-2:] == ["resolved", "dispatched"]
    assert lab.dispatches[-1].calls == (Call(tag="t1", number=1, attempt=1, again=True),)
    assert (lab.job.parked, lab.job.reason) == (None, None)
    lab.say(BEGAN, Intended("t1", 1))
    assert lab.kinds[-1] == "call_intended"
    assert lab.job.calls == (Call(tag="t1", number=1, attempt=2),)


def test_a_parked_call_is_taken_up_by_the_id_that_an_operator_gives() -> None:
    lab = parked()
    lab.resolve(Resolution.TAKE_UP, "v9")

    resolved = lab.events[-2]
    assert isinstance(resolved, Resolved)
    assert resolved.vendor_job_id == "v9"
    assert lab.dispatches[-1].calls[0].vendor_job_id == "v9"
    assert not lab.dispatches[-1].calls[0].again


def test_a_parked_job_is_given_up_when_an_operator_says_so() -> None:
    lab = parked()
    lab.resolve(Resolution.FAIL)

    event = lab.events[-1]
    assert isinstance(event, Failed)
    assert event.reason == "parked"
    assert "the vendor does not say" in event.message
    assert event.warnings == ("call t1 may have been submitted: the device may be paid for it",)
    assert lab.job.parked is None


def test_a_parked_job_that_is_cancelled_ends_at_once_and_warns_that_the_device_may_be_paid() -> (
    None
):
    lab = parked()
    lab.take(CancelAsked(lab.position(), KEY))

    event = lab.events[-1]
    assert isinstance(event, Cancelled)
    assert event.reason == "user_request"
    assert event.warnings == ("call t1 may have been submitted: the device may be paid for it",)


def test_a_job_that_is_being_cancelled_is_not_parked() -> None:
    lab = Lab()
    lab.say(BEGAN, Intended("t1", 1))
    lab.take(CancelAsked(lab.position(), KEY))
    lab.say(IsParked("t1", "the vendor does not say"))

    assert isinstance(lab.events[-1], Cancelled)
    assert lab.events[-1].warnings


def test_an_id_that_comes_at_last_ends_the_parking() -> None:
    lab = parked()
    lab.say(Accepted("t1", "v1"), attempt=1)

    assert lab.kinds[-2:] == ["resolved", "dispatched"]
    assert lab.dispatches[-1].calls[0].vendor_job_id == "v1"


def test_an_operators_word_on_a_job_that_is_not_parked_changes_nothing() -> None:
    lab = Lab()
    lab.say(BEGAN, Intended("t1", 1))
    events = len(lab.events)
    for how in Resolution:
        lab.resolve(how, "v1")

    assert len(lab.events) == events


def test_an_operators_word_that_is_read_twice_counts_once() -> None:
    lab = parked()
    lab.resolve(Resolution.SUBMIT_AGAIN)
    events = len(lab.events)
    lab.resolve(Resolution.SUBMIT_AGAIN)

    assert len(lab.events) == events


def test_an_operators_word_is_about_one_parking_and_not_about_the_next() -> None:
    lab = parked()
    lab.resolve(Resolution.SUBMIT_AGAIN)
    lab.say(BEGAN, Intended("t1", 1), IsParked("t1", "again it does not say"))
    lab.resolve(Resolution.SUBMIT_AGAIN)
    assert lab.job.parked == "t1"

    lab.resolve(Resolution.SUBMIT_AGAIN, attempt=2)
    assert lab.kinds[-2:] == ["resolved", "dispatched"]


def test_a_job_that_fails_with_calls_under_way_names_them() -> None:
    lab = Lab()
    for _ in range(3):
        lab.say(BEGAN, Intended("t1", 1), Accepted("t1", "v1"))
        lab.say(Died("child_died", "gone"))

    event = lab.events[-1]
    assert isinstance(event, Failed)
    assert event.warnings == (
        "call t1, the vendor's job v1, may still run: the device may be paid for it",
    )


@pytest.mark.parametrize("kind", [CallIntended, CallAccepted, CallMetered, Parked])
def test_a_simulator_attempt_says_nothing_of_the_kind(kind: type) -> None:
    lab = Lab()
    lab.say(BEGAN, Returned())

    assert not any(isinstance(event, kind) for event in lab.events)
    assert lab.kinds == ["queued", "dispatched", "started", "completed"]
    assert not lab.recorded
