"""What a turn does by itself: hopeless waits, void attempts, jobs that find a place."""

from typing import Any

import msgspec
from msgspec.structs import replace

from broker.core.book import Book
from broker.core.catalogue import Catalogue
from broker.core.inputs import CancelAsked, Reported, SessionAsked, Submitted
from broker.core.leases import Suspect
from broker.core.overview import queue_snapshots
from broker.core.placing_turns import FAILED_AT_ONCE
from broker.core.roster import LOST_AFTER, Roster
from broker.core.turn import Turn
from broker.telemetry.times import iso
from executors.scripted import scripted_backend
from schemas.backends import BackendMode, BackendOrder
from schemas.events import AnyEvent, Completed, Failed, Moved, Rejected, Started
from schemas.inbox import Calibrate, CancelAttempt, Dispatch
from schemas.jobs import Job
from schemas.ledger import InputPosition
from schemas.mocks import mock_of
from schemas.reports import BEGAN, Body, Died, Intended, Report, Returned
from schemas.requests import OpenSession, SubmitJob
from schemas.sessions import Mode, SessionRejected, session_key
from schemas.values import JobKey, Reason, State
from schemas.workers import AttemptName, Heartbeat
from tests.support.broker import built_in, hello_world

KEY = JobKey("default", "j1")


class Desk:
    """A book and a roster, and one turn after the other on them."""

    def __init__(self) -> None:
        self.book, self.roster = Book(10), Roster()
        self.orders: dict[str, BackendOrder] = {}
        self.offset = 0

    def turn(self, time: str = "t") -> Turn:
        catalogue = Catalogue([hello_world(), built_in("sampler")])
        return Turn(self.book, self.roster, 1, time, catalogue, orders=self.orders)

    def order(self, mode: BackendMode, backend: str = "scripted") -> None:
        order = BackendOrder(name=backend, mode=mode, since="t", why="new fridge")
        self.orders[backend] = order

    def position(self) -> InputPosition:
        self.offset += 1
        return InputPosition("requests", 0, self.offset)

    def submit(self, **more: object) -> Turn:
        turn = self.turn()
        body = SubmitJob(**({"program_id": "hello-world"} | more))  # type: ignore[arg-type]
        turn.take(Submitted(self.position(), KEY, body))
        turn.dispatch()
        return turn

    def beat(self, worker: str = "w", **more: object) -> Turn:
        turn = self.turn()
        facts = {"instance": "i", "slots": 1, "backends": ("scripted",)}
        turn.take(Heartbeat(worker=worker, **(facts | more)))  # type: ignore[arg-type]
        turn.dispatch()
        return turn


def test_a_job_without_a_place_gets_one_when_a_backend_comes() -> None:
    desk = Desk()
    assert not desk.submit().instructions
    desk.beat()
    turn = desk.turn()
    turn.take(scripted_backend())
    turn.dispatch()

    [told] = turn.instructions
    assert isinstance(told.body, Dispatch)
    assert told.body.backend == "scripted"
    assert desk.book.jobs[KEY].backend == "scripted"


def test_what_a_turn_hears_of_a_backend_holds_for_the_requests_behind_it() -> None:
    desk = Desk()
    desk.beat()
    turn = desk.turn()

    def submit(job_id: str) -> Job:
        body = SubmitJob("hello-world", backend_requirements={"if_unavailable": "fail"})
        turn.take(Submitted(desk.position(), key := JobKey("default", job_id), body))
        return desk.book.jobs[key]

    assert submit("j1").backend == ""
    turn.take(scripted_backend())
    assert submit("j2").backend == "scripted"
    turn.take(replace(scripted_backend(), is_calibrating=True))
    assert submit("j3").reason == Reason.BACKEND_UNAVAILABLE


def test_jobs_that_wait_for_any_backend_find_it_in_steps_and_in_their_order() -> None:
    desk = Desk()
    keys = [JobKey("default", f"j{number}") for number in range(50)]
    for each in keys:
        desk.turn().take(Submitted(desk.position(), each, SubmitJob(program_id="hello-world")))
    desk.beat(slots=3)
    turn = desk.turn()
    turn.take(scripted_backend())
    assert desk.book.queues.count("scripted") == 0

    assert turn.place(10)
    assert desk.book.queues.waiting("scripted", 50) == keys[:10]
    assert turn.dispatch(10)
    assert [told.body.job_id for told in turn.instructions] == ["j0", "j1", "j2"]
    while turn.place(10):
        pass
    assert desk.book.queues.waiting("scripted", 50) == keys[3:]


def test_who_has_not_been_looked_at_is_not_hopeless() -> None:
    desk = Desk()
    desk.submit()
    desk.turn().take(scripted_backend())
    desk.roster.tick(200)
    turn = desk.turn()
    turn.tick()
    assert not turn.entries

    assert not turn.place(10)
    turn.tick()
    assert not turn.entries
    assert desk.book.queues.count("scripted") == 1


def test_slots_are_given_away_in_steps() -> None:
    desk = Desk()
    desk.turn().take(scripted_backend())
    for number in range(10):
        key = JobKey("default", f"j{number}")
        desk.turn().take(Submitted(desk.position(), key, SubmitJob(program_id="hello-world")))
    turn = desk.turn()
    turn.take(Heartbeat(worker="w", instance="i", slots=8, backends=("scripted",)))

    assert turn.dispatch(5)
    assert not turn.dispatch(5)
    assert len(turn.instructions) == 8


def test_however_many_backends_are_missing_few_jobs_fail_in_one_turn() -> None:
    desk = Desk()
    for number in range(3 * FAILED_AT_ONCE):
        key = JobKey("default", f"j{number}")
        body = SubmitJob(program_id="hello-world", backend=f"nowhere-{number}")
        desk.turn().take(Submitted(desk.position(), key, body))
    desk.turn().take(scripted_backend())
    desk.roster.tick(200)
    turn = desk.turn()
    turn.tick()

    assert len(turn.entries) == FAILED_AT_ONCE


def test_a_job_that_waits_for_a_backend_which_never_comes_fails() -> None:
    desk = Desk()
    desk.submit(backend="nowhere")
    desk.turn().take(scripted_backend())
    desk.roster.tick(100)
    turn = desk.turn()
    turn.tick()
    assert not turn.entries

    desk.roster.tick(30)
    turn.tick()
    assert desk.book.jobs[KEY].state is State.FAILED
    assert desk.book.jobs[KEY].reason == "unknown_backend"


def test_while_nobody_offers_anything_nobody_fails_for_want_of_it() -> None:
    desk = Desk()
    desk.submit(backend="nowhere")
    desk.roster.tick(10_000)
    turn = desk.turn()
    turn.tick()

    assert not turn.entries


def test_what_a_lost_broker_has_dispatched_is_void() -> None:
    desk = Desk()
    desk.submit()
    turn = desk.beat("stranger", slots=0, attempts=(AttemptName("default", "j1", 1, 0),))
    [told] = turn.instructions
    assert isinstance(told.body, CancelAttempt)
    assert (told.worker, told.body.reason) == ("stranger", "worker_lost")

    desk.turn().take(scripted_backend())
    desk.beat("holder")
    assert desk.book.jobs[KEY].worker == "holder"
    gone = AttemptName("default", "gone", 1, 0)
    for worker in ("stranger", "holder"):  # whoever has it: what counts is who gave it
        named = (AttemptName("default", "j1", 1, 0), gone)
        [told] = desk.beat(worker, slots=0, attempts=named).instructions
        assert told.body.epoch == 0
    assert not desk.beat("holder", attempts=(AttemptName("default", "j1", 1, 1),)).instructions


def named(attempt: int = 1, epoch: int = 1) -> AttemptName:
    return AttemptName("default", "j1", attempt, epoch)


def a_desk_with_a_running_job() -> Desk:
    desk = Desk()
    desk.turn().take(scripted_backend())
    desk.beat()
    desk.submit(params=msgspec.Raw(b"{}"))
    assert desk.book.jobs[KEY].state is State.RUNNING
    return desk


def told_over(desk: Desk, beats: int, **beat: object) -> list[float]:
    """The seconds at which the worker is told something, of so many beats a second apart."""
    seconds = []
    for _ in range(beats):
        if desk.beat(**beat).instructions:
            seconds.append(desk.roster.clock)
        desk.roster.tick(1.0)
    return seconds


def test_a_cancel_is_told_again_ever_more_seldom_until_the_worker_has_obeyed() -> None:
    desk = a_desk_with_a_running_job()
    turn = desk.turn()
    turn.take(CancelAsked(desk.position(), KEY))
    assert len(turn.instructions) == 1

    assert told_over(desk, 64, attempts=(named(),), running=1) == [2, 6, 14, 30, 60]
    assert told_over(desk, 64, attempts=(named(),), running=0) == []


def test_who_cancels_once_more_has_it_told_once_more_but_not_as_often_as_he_asks() -> None:
    desk = a_desk_with_a_running_job()
    desk.turn().take(CancelAsked(desk.position(), KEY))
    turn = desk.turn()
    for _ in range(3):
        turn.take(CancelAsked(desk.position(), KEY))
    assert not turn.instructions
    desk.roster.tick(1.0)
    for _ in range(3):
        turn.take(CancelAsked(desk.position(), KEY))

    [told] = turn.instructions
    assert isinstance(told.body, CancelAttempt)
    assert (told.worker, told.body.attempt, told.body.reason) == ("w", 1, "user_request")
    assert not turn.entries


def test_what_nobody_was_told_is_told_once_more_and_lost_only_after_that() -> None:
    desk = a_desk_with_a_running_job()
    attempt = desk.book.attempts[KEY]
    attempt.inbox = 5  # of a former broker: it may have put it there or not
    turn = desk.beat(inbox=5)
    [suspect] = turn.suspects
    turn = desk.turn()
    assert turn.take(suspect) == "dispatch.told_again"
    [told] = turn.instructions
    assert isinstance(told.body, Dispatch)
    assert (told.body.attempt, told.body.epoch, told.body.told_by) == (1, 1, 1)
    assert not turn.entries
    assert not desk.beat(inbox=9).suspects  # it is on its way

    attempt.inbox, attempt.is_told = 7, True  # as when it is there
    [suspect] = desk.beat(inbox=7).suspects
    desk.turn().take(suspect)
    assert desk.book.jobs[KEY].state is State.QUEUED
    assert desk.book.jobs[KEY].losses == 1


def test_what_nobody_was_told_and_is_being_cancelled_is_cancelled() -> None:
    desk = a_desk_with_a_running_job()
    desk.turn().take(CancelAsked(desk.position(), KEY))
    desk.turn().take(Suspect(KEY, 1, "m", missing=True))

    assert desk.book.jobs[KEY].state is State.CANCELLED


def test_what_a_worker_that_left_in_good_order_still_had_is_no_loss() -> None:
    desk = a_desk_with_a_running_job()
    for number in range(4):
        instance = desk.book.jobs[KEY].instance
        [suspect] = desk.beat(instance=instance, stopping=True, left=True).suspects
        desk.turn().take(suspect)
        assert desk.book.jobs[KEY].state is State.QUEUED
        desk.beat(instance=f"i{number}")
        assert desk.book.jobs[KEY].state is State.RUNNING

    assert (desk.book.jobs[KEY].attempt, desk.book.jobs[KEY].losses) == (5, 0)


def test_that_a_worker_has_left_is_known_to_the_next_broker_too() -> None:
    desk = a_desk_with_a_running_job()
    beat = Heartbeat(worker="w", instance="i", slots=1, backends=(), stopping=True, left=True)
    desk.roster = Roster()
    desk.roster.see_off(beat)  # from before its time
    [suspect] = desk.beat(instance="another").suspects
    desk.turn().take(suspect)

    assert desk.book.jobs[KEY].losses == 0


def test_an_attempt_that_nobody_reported_the_end_of_is_void() -> None:
    desk = a_desk_with_a_running_job()
    desk.roster.tick(70.0)
    desk.turn().take(Suspect(KEY, 1, "w is not heard any more", silent=True))
    assert desk.book.jobs[KEY].state is State.QUEUED
    assert told_over(desk, 4, slots=0, attempts=(named(),), running=1) == [71, 72]

    desk = a_desk_with_a_running_job()
    died = Report(
        tenant="default",
        job_id="j1",
        attempt=1,
        epoch=1,
        number=1,
        worker="w",
        instance="i",
        time="t",
        body=Died(reason="child_died", message="m"),
    )
    desk.turn().take(Reported(desk.position(), died))
    assert desk.book.jobs[KEY].state is State.QUEUED
    assert told_over(desk, 4, slots=0, attempts=(named(),), running=0) == []


def test_what_runs_although_its_job_has_ended_is_void_unless_it_is_about_to_say_so() -> None:
    desk = Desk()
    assert told_over(desk, 10, slots=0, attempts=(named(),), running=1) == [1, 2, 4, 8]
    desk = Desk()
    for _ in range(4):  # it ended right after a heartbeat
        desk.beat(slots=0, attempts=(named(),), running=1)
        assert not desk.beat(slots=0, attempts=(named(),), running=0).instructions
        desk.roster.tick(1.0)


def test_a_cancel_that_stood_before_the_request_of_its_job_is_not_about_it() -> None:
    desk = Desk()
    cancel = CancelAsked(desk.position(), KEY)
    desk.submit(params=msgspec.Raw(b"{}"))

    assert desk.turn().take(cancel) == "cancel.before_its_job"
    assert desk.turn().take(CancelAsked(desk.position(), KEY)) is None
    assert desk.book.jobs[KEY].state is State.CANCELLED


def running() -> Desk:
    """A desk whose only job is being run, in its first attempt."""
    desk = Desk()
    desk.turn().take(scripted_backend())
    desk.submit()
    desk.beat()
    return desk


def report(number: int, body: Body, *, began: bool = False, ran: int = 0) -> Report:
    return Report(
        tenant="default",
        job_id="j1",
        attempt=1,
        epoch=1,
        number=number,
        worker="w",
        instance="i",
        time="t",
        body=body,
        began=began,
        ran=ran,
    )


def test_a_beginning_that_is_told_with_the_end_becomes_an_event_of_its_own() -> None:
    desk = running()
    turn, position = desk.turn(), desk.position()
    assert turn.take(Reported(position, report(2, Returned(), began=True))) is None

    assert [type(entry.event) for entry in turn.entries] == [Started, Completed]
    assert [entry.report for entry in turn.entries] == [1, 2]
    assert [entry.input for entry in turn.entries] == [position, position]
    assert turn.take(Reported(position, report(2, Returned(), began=True))) == "report.void"
    assert len(turn.entries) == 2


def test_a_beginning_that_is_told_with_the_end_has_its_own_time() -> None:
    desk = running()
    turn = desk.turn("2026-11-30T12:00:00.003Z")
    turn.take(Reported(desk.position(), report(2, Returned(), began=True, ran=7)))

    assert [entry.event.time for entry in turn.entries] == [
        "2026-11-30T11:59:59.996Z",
        "2026-11-30T12:00:00.003Z",
    ]


def test_a_beginning_that_is_told_again_with_the_end_changes_nothing() -> None:
    desk = running()
    turn = desk.turn()
    turn.take(Reported(desk.position(), report(1, BEGAN)))
    turn.take(Reported(desk.position(), report(2, Returned(), began=True)))

    assert [type(entry.event) for entry in turn.entries] == [Started, Completed]


# What operators want of backends


def test_jobs_for_a_paused_backend_wait_until_it_is_resumed() -> None:
    desk = Desk()
    desk.turn().take(scripted_backend())
    desk.order(BackendMode.PAUSED)
    desk.beat()
    assert not desk.submit(backend="scripted").instructions
    assert desk.book.jobs[KEY].state is State.QUEUED

    desk.orders.clear()
    [told] = desk.beat().instructions
    assert isinstance(told.body, Dispatch)


def test_a_draining_backend_takes_no_jobs_and_ends_those_that_it_has() -> None:
    desk = Desk()
    desk.turn().take(scripted_backend())
    desk.roster.tick(10)
    desk.submit(backend="scripted")
    desk.order(BackendMode.DRAINING)
    for name in ("scripted", None):
        turn = desk.turn()
        late = JobKey("default", f"late-{name}")
        body = SubmitJob(program_id="hello-world", backend=name)
        turn.take(Submitted(desk.position(), late, body))
        [event] = [entry.event for entry in turn.entries]
        assert isinstance(event, Rejected)
        assert event.reason == "backend_draining"
        assert "scripted is draining: new fridge" in event.message

    [told] = desk.beat().instructions
    assert isinstance(told.body, Dispatch)
    assert told.body.job_id == KEY.job_id


def test_a_job_that_names_no_backend_goes_where_jobs_go_on() -> None:
    desk = Desk()
    for name in ("scripted", "zealous"):
        desk.turn().take(replace(scripted_backend(), name=name))
    desk.beat(backends=("scripted", "zealous"), slots=2)
    desk.order(BackendMode.PAUSED)
    [told] = desk.submit().instructions
    assert isinstance(told.body, Dispatch)
    assert told.body.backend == "zealous"


def test_dry_runs_of_a_paused_backend_go_on() -> None:
    desk = Desk()
    desk.turn().take(scripted_backend())
    desk.order(BackendMode.PAUSED)
    desk.beat()
    assert len(desk.submit(backend=mock_of("scripted")).instructions) == 1


def test_jobs_that_named_no_backend_leave_one_that_is_paused() -> None:
    desk = Desk()
    for name in ("scripted", "zealous"):
        desk.turn().take(replace(scripted_backend(), name=name))
    body = SubmitJob(program_id="hello-world")
    keys = [JobKey("default", f"j{number}") for number in range(4)]
    for key, wanted in zip(keys, ("scripted", None, "scripted", None), strict=True):
        desk.order(BackendMode.PAUSED, "zealous")
        desk.turn().take(Submitted(desk.position(), key, replace(body, backend=wanted)))
    assert desk.book.queues.waiting("scripted", 9) == keys

    desk.orders.clear()
    desk.order(BackendMode.PAUSED)
    while desk.turn().dispatch(1):
        pass
    assert desk.book.queues.waiting("scripted", 9) == keys[::2]
    assert desk.book.queues.waiting("zealous", 9) == keys[1::2]


TWO = ("scripted", "zealous")


def a_desk_with_two() -> Desk:
    desk = Desk()
    for name in TWO:
        desk.turn().take(replace(scripted_backend(), name=name))
    desk.beat(backends=TWO, slots=1)
    return desk


def asked(desk: Desk, job_id: str, **more: Any) -> JobKey:
    """The key of a job that was asked for just now."""
    key = JobKey("default", job_id)
    body = SubmitJob(**({"program_id": "hello-world"} | more))
    desk.turn().take(Submitted(desk.position(), key, body))
    return key


def settled(desk: Desk) -> list[AnyEvent]:
    """What happens until nothing is left to do."""
    turn = desk.turn()
    while turn.dispatch():
        pass
    return [entry.event for entry in turn.entries]


def test_a_job_moves_waits_or_fails_as_it_asked_for_when_its_backend_is_paused() -> None:
    desk = a_desk_with_two()
    desk.submit(backend="scripted")  # it takes the slot
    for policy in ("move", "fail", "wait"):
        asked(desk, policy, backend="scripted", backend_requirements={"if_unavailable": policy})
    desk.order(BackendMode.PAUSED)
    events = {event.job_id: event for event in settled(desk)}

    moved, failed = events["move"], events["fail"]
    assert isinstance(moved, Moved)
    assert moved.backend == "zealous"
    assert moved.why == "scripted is paused: new fridge; no other backend meets the requirements"
    assert isinstance(failed, Failed)
    assert failed.reason == "backend_unavailable"
    assert failed.message.startswith("scripted is paused: new fridge")
    assert "wait" not in events
    assert desk.book.jobs[JobKey("default", "move")].backend == "zealous"
    assert desk.book.queues.waiting("zealous", 9) == [JobKey("default", "move")]
    assert desk.book.queues.waiting("scripted", 9) == [JobKey("default", "wait")]


def test_a_job_moves_only_to_what_its_circuits_fit_on() -> None:
    desk = Desk()
    widths = {"scripted": 5, "narrow": 3, "device": 5, "zealous": 4}
    for name, width in widths.items():
        one = scripted_backend(name, width, simulator=name != "device")
        desk.turn().take(replace(one, configuration=msgspec.Raw(b'{"coupling_map": [[0, 1]]}')))
    desk.beat(backends=tuple(widths), slots=1)
    four = "OPENQASM 3.0; qubit[4] q; bit[1] c; c[0] = measure q[0];"
    wide = "OPENQASM 3.0; qubit[5] q; bit[1] c; c[0] = measure q[0];"
    flow = wide + " if (c[0]) { x q[0]; }"
    desk.submit(backend="scripted")  # it takes the slot
    for name, circuit in {"four": four, "wide": wide, "flow": flow}.items():
        params = msgspec.Raw(msgspec.json.encode({"circuits": circuit}))
        more = {"backend": "scripted", "backend_requirements": {"if_unavailable": "move"}}
        asked(desk, name, program_id="sampler", params=params, **more)
    desk.order(BackendMode.PAUSED)
    moved = {event.job_id: event for event in settled(desk) if isinstance(event, Moved)}

    assert {name: event.backend for name, event in moved.items()} == {
        "four": "zealous",
        "wide": "device",
    }


def test_a_job_that_comes_while_its_backend_is_paused_goes_elsewhere_or_is_refused_at_once() -> (
    None
):
    desk = a_desk_with_two()
    desk.order(BackendMode.PAUSED)
    there = {
        policy: desk.book.jobs[
            asked(desk, policy, backend="scripted", backend_requirements={"if_unavailable": policy})
        ]
        for policy in ("move", "fail", "wait")
    }

    assert there["move"].backend == "zealous"
    assert there["move"].details is not None
    assert there["move"].details.backend == "scripted"
    assert there["fail"].reason == "backend_unavailable"
    assert there["wait"].backend == "scripted"


def test_jobs_leave_a_backend_that_no_worker_offers_any_more_after_a_while() -> None:
    desk = a_desk_with_two()
    desk.beat("other", backends=("zealous",), slots=0)
    desk.submit(backend="scripted")
    key = asked(desk, "j2", backend="scripted", backend_requirements={"if_unavailable": "move"})
    waits = asked(desk, "j3", backend="scripted")
    desk.beat(instance="new", backends=("zealous",), slots=0)
    desk.turn().tick()
    desk.roster.tick(LOST_AFTER - 1)
    desk.beat(instance="new", backends=("zealous",), slots=0)
    desk.turn().tick()
    assert not [event for event in settled(desk) if isinstance(event, Moved)]

    desk.roster.tick(1)
    desk.turn().tick()
    [moved] = [event for event in settled(desk) if isinstance(event, Moved)]

    assert (moved.job_id, moved.backend) == (key.job_id, "zealous")
    assert moved.why.startswith("no worker that is heard offers scripted; ")
    assert waits in desk.book.queues.waiting("scripted", 9)


def test_a_job_moves_on_once_another_backend_begins_jobs_again() -> None:
    desk = a_desk_with_two()
    for name in TWO:
        desk.order(BackendMode.PAUSED, name)
    key = asked(desk, "j1")
    where = desk.book.jobs[key].backend
    assert settled(desk) == []

    del desk.orders[next(name for name in TWO if name != where)]
    moved, dispatched = settled(desk)

    assert isinstance(moved, Moved)
    assert moved.backend == dispatched.backend != where  # type: ignore[union-attr]


def test_jobs_leave_a_device_that_is_calibrated_and_its_queue_says_so() -> None:
    desk = a_desk_with_two()
    desk.submit(backend="zealous")  # it takes the slot
    key = asked(desk, "j3", backend="scripted", backend_requirements={"if_unavailable": "move"})
    calibrated = scripted_backend()
    desk.turn().take(replace(calibrated, is_calibrating=True))
    [moved] = settled(desk)

    assert isinstance(moved, Moved)
    assert moved.why.startswith("scripted is being calibrated; ")
    assert desk.book.queues.waiting("zealous", 9) == [key]
    shown = {each.backend: each.mode for each in queue_snapshots(desk.book, desk.roster, (), {})}
    assert shown == {"scripted": "calibrating", "zealous": "active"}
    desk.turn().take(calibrated)
    later = asked(desk, "j2", backend="scripted", backend_requirements={"if_unavailable": "move"})
    assert settled(desk) == []
    assert desk.book.queues.waiting("scripted", 9) == [later]


def test_one_worker_is_told_once_to_calibrate_and_nobody_once_that_is_done_or_long_ago() -> None:
    desk = a_desk_with_two()
    desk.beat("other", backends=("scripted",))
    minute = 60.0

    def told(at: float) -> list[str]:
        turn = desk.turn()
        turn.time = iso(at)
        turn.tick()
        return [each.worker for each in turn.instructions if isinstance(each.body, Calibrate)]

    desk.orders["scripted"] = BackendOrder(
        name="scripted", mode=BackendMode.ACTIVE, since="t", calibrate=iso(minute)
    )
    assert told(2 * minute) == ["other"]
    assert told(3 * minute) == []
    desk.beat("other", instance="anew", backends=("scripted",))
    assert told(100 * minute) == []
    assert told(3 * minute) == ["other"]
    desk.beat("other", instance="again", backends=("scripted",))
    desk.turn().take(replace(scripted_backend(), calibrated=iso(2 * minute)))
    assert told(4 * minute) == []


def test_a_job_whose_device_was_asked_for_something_stays_with_it() -> None:
    desk = a_desk_with_two()
    key = asked(desk, "j1", backend_requirements={"if_unavailable": "move"})
    settled(desk)
    job = desk.book.jobs[key]
    told = (BEGAN, Intended("tag", 1), Died("worker_lost", "gone"))
    for number, body in enumerate(told, 1):
        position = InputPosition("reports", 0, number)
        desk.turn().take(Reported(position, report(number, body)))
    assert desk.book.jobs[key].calls
    assert job.backend is not None
    desk.order(BackendMode.PAUSED, job.backend)

    assert settled(desk) == []
    assert desk.book.queues.waiting(job.backend, 9) == [key]


def test_a_session_is_not_opened_where_no_jobs_are_taken() -> None:
    desk = Desk()
    desk.turn().take(scripted_backend())
    desk.order(BackendMode.DRAINING)
    key = session_key("default", "s1")
    turn = desk.turn()
    turn.take(
        SessionAsked(desk.position(), key, "s1", OpenSession(mode=Mode.BATCH, backend="scripted"))
    )
    [refused] = [entry.event for entry in turn.of_sessions]
    assert isinstance(refused, SessionRejected)
    assert refused.reason == "backend_draining"
    assert "new fridge" in refused.message
