"""A session: what requests, jobs and time make of it, and that all readers fold it in the same way."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.book import Book
from broker.core.catalogue import Catalogue
from broker.core.inputs import CancelAsked, Reported, SessionAsked, Submitted
from broker.core.leases import overdue
from broker.core.open_sessions import MOST
from broker.core.roster import Roster
from broker.core.sessions import TRANSITIONS, apply
from broker.core.turn import Turn
from executors.scripted import scripted_backend
from schemas.inbox import CancelAttempt
from schemas.ledger import Entry, InputPosition, SessionEntry
from schemas.ledger_records import read_ledger, session_entry_record
from schemas.records import Stored
from schemas.reports import BEGAN, Report
from schemas.requests import CancelSession, CloseSession, OpenSession, SubmitJob
from schemas.sessions import Mode, Session, SessionState, session_key
from schemas.state_records import read_state, snapshot_record
from schemas.values import JobKey, State
from schemas.workers import Heartbeat
from tests.support.broker import HELLO, hello_world

S1 = session_key("default", "s1")
OPEN = OpenSession(mode=Mode.DEDICATED, backend="scripted", max_ttl=100, interactive_ttl=10)
BEGIN = datetime(2026, 11, 20, tzinfo=UTC)


def key(job_id: str) -> JobKey:
    return JobKey("default", job_id)


class Desk:
    """A broker's decisions, one turn after the other, in virtual time; a worker that does as told."""

    def __init__(self, slots: int = 4) -> None:
        self.book, self.roster = Book(10), Roster()
        self.offset, self.slots = 0, slots
        self.sessions: list[SessionEntry] = []
        self.jobs: list[Entry] = []
        self.told: list[Any] = []
        self.letters: list[Any] = []
        self.take(scripted_backend())
        self.pass_(0.0)

    def take(self, *items: Any) -> None:
        """One turn that decides on *items*."""
        now = BEGIN + timedelta(seconds=self.roster.clock)
        time = now.isoformat(timespec="milliseconds")
        turn = Turn(self.book, self.roster, 1, time, Catalogue([hello_world()]))
        for item in items:
            turn.take(item)
        if not items:
            turn.tick()
        while turn.settle(2):
            pass
        turn.dispatch()
        self.sessions += turn.of_sessions
        self.jobs += turn.entries
        self.told += turn.instructions
        self.letters += turn.letters

    def pass_(self, seconds: float) -> None:
        self.roster.tick(seconds)
        beat = Heartbeat(worker="w", instance="i", slots=self.slots, backends=("scripted",))
        self.roster.hear(beat)
        self.take()

    def at(self) -> InputPosition:
        self.offset += 1
        return InputPosition("requests", 0, self.offset)

    def ask(self, body: Any, named: str = "s1") -> None:
        self.take(SessionAsked(self.at(), session_key("default", named), named, body))

    def submit(self, job_id: str, **more: Any) -> None:
        body = SubmitJob(**({"program_id": "hello-world", "session_id": "s1"} | more))
        self.take(Submitted(self.at(), key(job_id), body))

    def report(self, job_id: str, number: int, body: Any) -> None:
        job = self.book.jobs[key(job_id)]
        report = Report(
            tenant="default", job_id=job_id, attempt=job.attempt, epoch=job.epoch, number=number,
            worker="w", instance="i", time="t", body=body,
        )  # fmt: skip
        self.take(Reported(self.at(), report))

    def begin(self, job_id: str) -> None:
        self.report(job_id, 1, BEGAN)

    def end(self, job_id: str) -> None:
        self.report(job_id, 2, HELLO)

    def session(self, named: str = "s1") -> Session:
        found = self.book.sessions.get(session_key("default", named))
        assert found is not None
        return found

    def state(self, job_id: str) -> State:
        return self.book.jobs[key(job_id)].state

    def kinds(self) -> list[str]:
        return [entry.event.kind.removeprefix("session_") for entry in self.sessions]


@pytest.fixture
def desk() -> Desk:
    found = Desk()
    found.ask(OPEN)
    return found


def test_a_session_is_active_from_its_first_jobs_beginning_until_it_has_had_none_for_a_while(
    desk: Desk,
) -> None:
    desk.submit("j1")
    assert desk.session().state is SessionState.OPEN
    desk.begin("j1")
    assert desk.session().state is SessionState.ACTIVE
    desk.pass_(50)
    assert desk.session().state is SessionState.ACTIVE  # it is not idle while a job runs
    desk.end("j1")
    desk.pass_(9)
    assert desk.session().state is SessionState.ACTIVE
    desk.pass_(2)
    assert desk.session().state is SessionState.INACTIVE
    assert desk.session().elapsed == pytest.approx(61)
    desk.submit("j2")
    desk.begin("j2")
    assert desk.session().state is SessionState.ACTIVE
    assert desk.session().last_job_completed is not None
    assert desk.kinds() == ["opened", "used", "used", "rested", "used"]


def test_a_closed_session_takes_no_jobs_and_ends_with_the_last_that_it_has(desk: Desk) -> None:
    desk.submit("j1")
    desk.submit("j2")
    desk.ask(CloseSession("s1"))
    desk.submit("late")
    assert desk.session().state is SessionState.CLOSING
    assert desk.book.jobs[key("late")].reason == "session_closed"
    for job in ("j1", "j2"):
        desk.begin(job)
        desk.end(job)
    assert desk.session().state is SessionState.CLOSED
    assert [desk.state("j1"), desk.state("j2")] == [State.COMPLETED] * 2
    desk.ask(CloseSession("s1"))
    desk.ask(CancelSession("s1"))
    assert desk.kinds()[-1] == "closed"


def test_a_session_without_jobs_is_closed_at_once(desk: Desk) -> None:
    desk.ask(CloseSession("s1"))
    assert desk.kinds() == ["opened", "closed"]


def test_cancelling_a_session_ends_what_waits_and_what_runs(desk: Desk) -> None:
    desk.slots = 1
    desk.pass_(1)
    for number in range(6):
        desk.submit(f"j{number}")
    desk.begin("j0")
    desk.ask(CancelSession("s1"))
    assert [desk.state(f"j{n}") for n in range(6)] == [State.CANCELLING, *[State.CANCELLED] * 5]
    assert [t.body.job_id for t in desk.told if isinstance(t.body, CancelAttempt)] == ["j0"]
    desk.end("j0")
    assert desk.session().state is SessionState.CLOSED
    assert desk.session().reason == "cancelled"


def test_a_session_whose_time_is_over_cancels_what_waits_and_lets_run_what_runs() -> None:
    desk = Desk(slots=1)
    desk.ask(OPEN)
    for job in ("j1", "j2"):
        desk.submit(job)
    desk.begin("j1")
    desk.pass_(101)
    assert desk.state("j1") is State.RUNNING
    assert (desk.state("j2"), desk.book.jobs[key("j2")].reason) == (
        State.CANCELLED,
        "session_timed_out",
    )
    desk.submit("late")
    assert "its time is over" in (desk.book.jobs[key("late")].message or "")
    desk.end("j1")
    assert (desk.session().state, desk.session().reason) == (SessionState.CLOSED, "timed_out")


def test_a_session_that_nobody_uses_ends_as_one_that_waits_for_a_slot_does_not(desk: Desk) -> None:
    desk.ask(OPEN, "unused")
    desk.submit("j1")
    desk.pass_(101)
    assert desk.session("unused").reason == "timed_out"
    assert desk.session().state is SessionState.OPEN


def test_its_jobs_run_on_its_backend_and_on_no_other(desk: Desk) -> None:
    desk.submit("j1")
    desk.submit("j2", backend="elsewhere")
    assert desk.book.jobs[key("j1")].backend == "scripted"
    assert desk.book.jobs[key("j2")].reason == "backend_unsuitable"


def test_a_job_of_a_session_that_nobody_opened_is_refused_by_name(desk: Desk) -> None:
    desk.submit("j1", session_id="s2")
    assert desk.book.jobs[key("j1")].reason == "unknown_session"


def test_a_session_of_old_clients_begins_with_its_first_job_and_has_its_id(desk: Desk) -> None:
    desk.submit("first", session_id=None, start_session=True, session_time=300)
    desk.submit("second", session_id="first")
    session = desk.session("first")
    assert session.details is not None
    assert (session.details.max_ttl, session.details.backend) == (300, "scripted")
    for job in ("first", "second"):
        details = desk.book.jobs[key(job)].details
        assert details is not None
        assert details.session_id == "first"
    desk.submit("first", session_id=None, start_session=True, session_time=300)  # sent again
    assert not desk.letters


def test_a_first_job_that_is_refused_begins_no_session(desk: Desk) -> None:
    desk.submit("first", session_id=None, start_session=True, program_id="nothing")
    assert session_key("default", "first") not in desk.book.sessions


def test_opening_twice_is_one_session_and_who_asked_for_another_is_told(desk: Desk) -> None:
    desk.ask(OPEN)
    desk.ask(OpenSession(mode=Mode.BATCH, backend="scripted"))
    assert desk.kinds() == ["opened"]
    assert [letter.code for letter in desk.letters] == ["session_exists"]


def test_a_session_without_a_backend_gets_one_that_is_there(desk: Desk) -> None:
    desk.ask(OpenSession(mode=Mode.BATCH), "s2")
    details = desk.session("s2").details
    assert details is not None
    assert (details.backend, details.interactive_ttl) == ("scripted", 1.0)


def test_a_session_on_a_backend_that_is_not_there_is_refused(desk: Desk) -> None:
    desk.roster.tick(60)
    desk.ask(OpenSession(mode=Mode.BATCH, backend="scriptd"), "s2")
    assert desk.session("s2").reason == "unknown_backend"


def test_a_tenant_has_so_many_sessions_at_most(desk: Desk) -> None:
    for number in range(MOST):
        desk.ask(OPEN, f"more{number}")
    assert desk.session(f"more{MOST - 1}").reason == "quota"
    desk.ask(CloseSession("s1"))
    desk.book.forget(S1)
    desk.ask(OPEN, "another")
    assert desk.session("another").state is SessionState.OPEN


def test_what_has_ended_leaves_memory_and_stays_known(desk: Desk) -> None:
    desk.ask(CloseSession("s1"))
    desk.book.forget(S1)
    assert desk.book.weight == 0
    desk.ask(OPEN)
    assert S1 not in desk.book.sessions
    desk.submit("late")
    assert desk.book.jobs[key("late")].reason == "session_closed"


def test_a_lost_attempt_of_a_session_that_is_over_does_not_run_again(desk: Desk) -> None:
    desk.submit("j1")
    desk.begin("j1")
    desk.pass_(101)
    desk.roster.tick(200)
    for suspect in overdue(desk.roster, desk.book):
        desk.take(suspect)
    assert desk.state("j1") is State.CANCELLED
    assert desk.session().state is SessionState.CLOSED


# Whatever happens, in whichever order

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(0, 5)),
        st.tuples(st.just("begin"), st.integers(0, 5)),
        st.tuples(st.just("end"), st.integers(0, 5)),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
        st.tuples(st.just("pass"), st.sampled_from([0.5, 11, 60, 101])),
        st.tuples(st.sampled_from(["open", "close", "cancel_session"]), st.just(0)),
    ),
    max_size=25,
)


def play(desk: Desk, step: str, what: Any) -> None:
    job_id = f"j{what}"
    job = desk.book.jobs.get(key(job_id))
    match step:
        case "submit":
            desk.submit(job_id)
        case "begin" if job and job.state is State.RUNNING and not job.started:
            desk.begin(job_id)
        case "end" if job and job.started and not job.terminal:
            desk.end(job_id)
        case "cancel":
            desk.take(CancelAsked(desk.at(), key(job_id)))
        case "pass":
            desk.pass_(what)
        case "open":
            desk.ask(OPEN)
        case "close":
            desk.ask(CloseSession("s1"))
        case "cancel_session":
            desk.ask(CancelSession("s1"))


@given(STEPS)
@settings(max_examples=150)
def test_all_readers_fold_the_same_session_and_none_has_jobs_once_it_is_closed(
    steps: list[tuple[str, Any]],
) -> None:
    desk = Desk(slots=2)
    for step, what in steps:
        play(desk, step, what)
        if (session := desk.book.sessions.get(S1)) is None:
            continue
        live = [job for job in desk.book.jobs.values() if job.details and not job.terminal]
        assert desk.book.sessions.work(S1).jobs == len(live)
        if session.terminal:
            assert not live
        if session.reason in ("cancelled", "timed_out"):
            assert not [job for job in live if job.state is State.QUEUED]
        if session.state is SessionState.CLOSING:
            assert live

    assert [entry.event.seq for entry in desk.sessions] == list(range(1, len(desk.sessions) + 1))
    assert not any(entry.event.terminal for entry in desk.sessions[:-1])
    folded: Session | None = None
    for entry in desk.sessions:
        assert type(entry.event) in TRANSITIONS[folded.state if folded else None]
        folded = apply(folded, reread(entry))
    assert folded == desk.book.sessions.get(S1)
    if folded is not None:
        record = snapshot_record(folded, 1, "t")
        assert read_state(Stored("t", 0, 0, 0, record.key, record.value, record.headers)) == folded


def reread(entry: SessionEntry) -> SessionEntry:
    record = session_entry_record(entry)
    found = read_ledger(Stored("t", 0, 0, 0, record.key, record.value, record.headers))
    assert isinstance(found, SessionEntry)
    return found
