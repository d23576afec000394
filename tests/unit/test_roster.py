"""Who lives, with which slots; whose lease has run out."""

from typing import Any

import msgspec
import pytest

from broker.core.attempts import LiveAttempt
from broker.core.book import Book
from broker.core.leases import is_overdue, lease, overdue, unnamed
from broker.core.roster import BACKENDS, LEFT_KEPT, WORKERS, Roster
from executors.scripted import scripted_backend
from schemas.events import Dispatched, Queued
from schemas.jobs import JobDetails
from schemas.ledger import Entry
from schemas.values import JobKey
from schemas.workers import AttemptName, Heartbeat, SlotPool
from tests.support.events import following

DETAILS = JobDetails(program_id="p", program_version="1", time_limit=5.0)


def beat(worker: str = "w", instance: str = "i", **more: Any) -> Heartbeat:
    facts: dict[str, Any] = {"slots": 2, "backends": ("aer",)}
    return Heartbeat(worker=worker, instance=instance, **(facts | more))


def record(book: Book, job_id: str, kind: Any, **facts: Any) -> None:
    key = JobKey("default", job_id)
    event = following(book.jobs.get(key), job_id, "t", kind, **facts)
    book.record(Entry(key, event, 1))


def running(*job_ids: str, worker: str = "w", instance: str = "i") -> Book:
    """A book in which *worker* has an attempt at each job, of which it was told at offset 4."""
    book = Book(10)
    for job_id in job_ids:
        record(book, job_id, Queued, job=DETAILS, backend="aer")
        where = {"backend": "aer", "worker": worker, "instance": instance}
        record(book, job_id, Dispatched, attempt=1, **where)
        attempt_at(book, job_id).inbox = 5
    return book


def attempt_at(book: Book, job_id: str) -> LiveAttempt:
    return book.attempts[JobKey("default", job_id)]


@pytest.mark.parametrize(
    ("ran_for", "seconds"), [(0, 4), (10, 5), (100, 14), (560, 60), (100_000, 60)]
)
def test_a_lease_is_in_proportion_to_what_the_attempt_has_run(
    ran_for: float, seconds: float
) -> None:
    assert lease(4.0, ran_for) == seconds


def test_free_slots_are_those_that_no_attempt_has() -> None:
    roster = Roster()
    roster.hear(beat())
    roster.hear(beat("full", slots=1))
    book = running("j1")
    offers = {offer.worker: offer.free for offer in roster.offers(book)}
    assert offers == {"w": 1, "full": 1}

    assert roster.slots("aer") == 3
    assert roster.load(book, "aer").free == 2
    assert roster.load(book, "aer").wait == 0
    assert roster.load(book, "nothing").wait == float("inf")


def test_pools_of_a_worker_have_slots_of_their_own() -> None:
    roster = Roster()
    pools = (SlotPool("simulator", ("aer", "noisy"), 1), SlotPool("device", ("dev",), 2, ahead=1))
    roster.hear(beat(slots=3, backends=("aer", "noisy", "dev"), pools=pools))
    book = running("j1")

    free = {min(offer.backends): (offer.free, offer.ahead) for offer in roster.offers(book)}

    assert free == {"dev": (2, 1)}
    assert [roster.slots(name) for name in ("aer", "noisy", "dev")] == [1, 1, 2]
    assert [roster.load(book, name).free for name in ("aer", "noisy", "dev")] == [0, 0, 2]


def test_pools_of_a_worker_are_bounded_as_all_that_it_says() -> None:
    roster = Roster()
    for number in range(2 * WORKERS // 100_000):
        names = tuple(f"{number}-{each}" for each in range(1_000))
        roster.hear(beat(f"w{number}", pools=(SlotPool("p", names, 1),)))
        assert roster.workers.weight <= WORKERS
    assert 0 < len(roster.workers) < 2 * WORKERS // 100_000


def test_who_stops_or_is_silent_is_offered_nothing() -> None:
    roster = Roster()
    roster.hear(beat("stops", stopping=True))
    roster.hear(beat("silent"))
    roster.tick(4.5)
    roster.hear(beat("lives"))

    assert [offer.worker for offer in roster.offers(Book(10))] == ["lives"]


def test_an_attempt_is_overdue_after_its_lease_and_not_before() -> None:
    roster = Roster()
    roster.hear(beat())
    book = running("old", "young")
    attempt_at(book, "old").since = -100.0
    roster.tick(4.0)
    assert overdue(roster, book) == []

    roster.tick(0.5)
    assert [suspect.key.job_id for suspect in overdue(roster, book)] == ["young"]

    roster.tick(13.0)  # a tenth of the 117.5 s that the old one has run then, and 4
    assert len(overdue(roster, book)) == 2


def test_time_passes_by_ticks_alone() -> None:
    roster = Roster()
    roster.hear(beat())

    assert overdue(roster, running("j1")) == []


def test_a_worker_that_was_never_heard_has_its_lease_from_the_beginning() -> None:
    roster, book = Roster(), running("j1", worker="unheard")
    roster.tick(100)
    attempt_at(book, "j1").since = roster.clock
    roster.expect(attempt_at(book, "j1"))
    assert overdue(roster, book) == []

    roster.tick(4.5)
    assert len(overdue(roster, book)) == 1


@pytest.mark.parametrize(
    ("heard", "lost"),
    [
        (beat(inbox=4), 0),  # it has not read so far
        (beat(inbox=5), 1),
        (beat(inbox=5, attempts=(AttemptName("default", "j1", 1, 1),)), 0),
        (beat(inbox=5, attempts=(AttemptName("default", "j1", 1, 2),)), 1),  # not this dispatch
        (beat(inbox=5, attempts=(AttemptName("default", "j1", 2, 1),)), 1),
        (beat(inbox=5, attempts=(AttemptName("other", "j1", 1, 1),)), 1),
        (beat(instance="i2", inbox=0), 1),
        (beat("other", inbox=99), 0),
    ],
)
def test_an_attempt_that_is_not_named_although_it_was_told_of_is_suspect(
    heard: Heartbeat, lost: int
) -> None:
    assert len(unnamed(Roster(), running("j1"), heard)) == lost


@pytest.mark.parametrize(
    ("offered", "others", "reason"),
    [
        (("aer",), (), "worker_lost"),
        (("noisy",), (), "backend_withdrawn"),
        (("noisy",), ("aer",), "worker_lost"),  # there is another that has it
        ((), (), "worker_lost"),  # it has not started its executors yet
    ],
)
def test_a_worker_that_is_started_again_without_the_backend_has_withdrawn_it(
    offered: tuple[str, ...], others: tuple[str, ...], reason: str
) -> None:
    roster = Roster()
    heard = beat(instance="i2", backends=offered)
    for each in (beat("other", backends=others), heard):
        roster.hear(each)

    [suspect] = unnamed(roster, running("j1"), heard)

    assert suspect.reason == reason


def test_nobody_is_suspect_before_it_is_known_where_the_dispatch_stands() -> None:
    book = running("j1")
    attempt_at(book, "j1").inbox = None

    assert unnamed(Roster(), book, beat(inbox=10**9)) == []


def test_an_echo_of_an_earlier_start_is_not_heard() -> None:
    roster = Roster()
    assert roster.hear(beat(instance="i1"))
    assert roster.hear(beat(instance="i2"))
    assert not roster.hear(beat(instance="i1"))
    assert roster.workers["w"].instance == "i2"


def test_a_worker_that_is_gone_for_long_is_forgotten() -> None:
    roster = Roster()
    roster.hear(beat())
    roster.hear(beat("busy"))
    roster.tick(61)
    roster.forget_the_gone(running("j1", worker="busy"))

    assert set(roster.workers) == {"busy"}


def test_a_backend_without_a_coupling_map_is_ideal() -> None:
    roster = Roster()
    coupled = msgspec.Raw(b'{"coupling_map":[[0,1]],"n_qubits":2}')
    assert roster.announce(scripted_backend("ideal"))
    assert roster.announce(
        msgspec.structs.replace(scripted_backend("noisy"), configuration=coupled)
    )
    assert roster.announce(
        msgspec.structs.replace(scripted_backend("odd"), configuration=msgspec.Raw(b"[]"))
    )
    assert not roster.announce(scripted_backend("ideal"))

    assert {name: b.ideal for name, b in roster.backends.items()} == {
        "ideal": True,
        "noisy": False,
        "odd": False,
    }


def test_backends_that_nobody_announces_any_more_are_forgotten_unless_jobs_wait_for_them() -> None:
    roster, book = Roster(), Book(10)
    for name in ("gone", "waited-for", "there"):
        roster.announce(scripted_backend(name))
    record(book, "j1", Queued, job=DETAILS, backend="waited-for")
    for _ in range(2):
        roster.tick(3000.0)
        roster.announce(scripted_backend("there"))
        roster.forget_the_gone(book)

    assert set(roster.backends) == {"waited-for", "there"}


def test_however_many_say_that_they_are_there_those_that_are_known_stay() -> None:
    roster, book = Roster(), Book(10)
    assert roster.hear(beat())
    roster.announce(scripted_backend("aer"))
    many = tuple(f"b{number}" for number in range(20_000))
    for number in range(20_000):
        roster.announce(scripted_backend(f"{number}-{'x' * 400}"))
        backends = many if number < 100 else many[:1]
        roster.hear(beat(f"made-up-{number}", backends=backends))

    assert roster.workers.weight <= WORKERS
    assert roster.backends.weight <= BACKENDS
    assert "aer" in roster.backends
    assert roster.hear(beat(slots=3))
    assert roster.slots("aer") == 3
    expected = LiveAttempt(JobKey("default", "j9"), 1, 1, "of-before", "i")
    roster.expect(expected)
    assert not is_overdue(roster, expected)
    book.reminders.is_due("made-up-1", AttemptName("t", "j", 1, 1), 0.0, 0.0)
    roster.tick(61)
    assert roster.hear(beat())
    roster.forget_the_gone(book)
    assert set(roster.workers) == {"w"}
    assert not book.reminders._told


def test_workers_that_leave_in_good_order_are_remembered_up_to_a_number() -> None:
    roster = Roster()
    for number in range(LEFT_KEPT + 10):
        roster.see_off(beat(instance=f"i{number}", left=True))
    assert len(roster._left) == LEFT_KEPT
