"""What a turn does by itself: hopeless waits, void attempts, jobs that find a place."""

import msgspec

from broker.core.book import Book
from broker.core.catalogue import Catalogue
from broker.core.roster import Roster
from broker.core.turn import CancelAsked, Submitted, Turn
from executors.scripted import scripted_backend
from schemas.inbox import CancelAttempt, Dispatch
from schemas.ledger import InputPosition
from schemas.requests import SubmitJob
from schemas.values import JobKey, State
from schemas.workers import AttemptName, Heartbeat
from tests.support.broker import hello_world

KEY = JobKey("default", "j1")


class Desk:
    """A book and a roster, and one turn after the other on them."""

    def __init__(self) -> None:
        self.book, self.roster = Book(10), Roster()
        self.offset = 0

    def turn(self) -> Turn:
        return Turn(self.book, self.roster, Catalogue([hello_world()]), 1, "t")

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


def test_a_cancel_that_stood_before_the_request_of_its_job_is_not_about_it() -> None:
    desk = Desk()
    cancel = CancelAsked(desk.position(), KEY)
    desk.submit(params=msgspec.Raw(b"{}"))

    assert desk.turn().take(cancel) == "cancel.before_its_job"
    assert desk.turn().take(CancelAsked(desk.position(), KEY)) is None
    assert desk.book.jobs[KEY].state is State.CANCELLED
