"""Whatever happens to brokers and workers: one history, in which each job ends once and last."""

import zlib
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from broker.core.book import Book
from broker.core.catalogue import Catalogue
from broker.core.changes import Instructed
from broker.core.inputs import CancelAsked, Input, Reported, ResolveAsked, Submitted
from broker.core.leases import Suspect
from broker.core.reader_rule import PartitionReader
from broker.core.roster import Roster
from broker.core.turn import Turn
from broker.core.usage import Usage
from broker.telemetry.times import iso
from executors.scripted import scripted_backend
from schemas.events import CallAccepted, CallIntended, CallMetered, Dispatched, Resolved, Retried
from schemas.inbox import Dispatch
from schemas.ledger import Claim, DeadLetter, Entry, InputPosition
from schemas.operators import Resolution, ResolveJob
from schemas.reports import (
    FACTS,
    Accepted,
    Began,
    Body,
    Calibrated,
    Died,
    Intended,
    Metered,
    Parked,
    Published,
    Raised,
    Report,
    Returned,
    Stopped,
    Withdrawn,
)
from schemas.requests import SubmitJob
from schemas.values import JobKey, State
from schemas.workers import Heartbeat
from tests.support.broker import hello_world

PARTITIONS = 2
JOBS = 4
WORKERS = ("w1", "w2")
CATALOGUE = Catalogue([hello_world()])
BODIES: tuple[Body, ...] = (
    Began(),
    Published(msgspec.Raw(b"1")),
    Returned(msgspec.Raw(b"2")),
    Raised("program_error", "no"),
    Stopped("user_request"),
    Died("child_died", "gone"),
    Died("child_crashed", "killed by SIGSEGV"),
    Died("out_of_memory", "too much"),
    Died("worker_stopped", "handed back"),
    Died("device_away", "maintained"),
)
OF_A_DEVICE: tuple[Body, ...] = (
    Intended("t1", 1),
    Intended("t2", 2),
    Withdrawn("t1"),
    Accepted("t1", "v1"),
    Accepted("t1", "v2"),
    Accepted("t2", "v3"),
    Metered("t1", 1.0),
    Metered("t1", 2.0, 3.0, "EUR", final=True),
    Metered("t2", 4.0),
    Calibrated("monday"),
    Parked("t1", "nobody knows"),
)


@dataclass
class World:
    """A ledger of two partitions, inputs, and the workers' side of the inbox."""

    ledger: list[list[Entry | Claim]] = field(
        default_factory=lambda: [[] for _ in range(PARTITIONS)]
    )
    inputs: list[Input] = field(default_factory=list)
    told: list[Instructed] = field(default_factory=list)
    numbers: dict[tuple[str, int, int], int] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    now: float = 1_767_225_600.0  # a second more in each turn of a broker

    def position(self) -> InputPosition:
        return InputPosition("inputs", 0, len(self.inputs))

    def land(self, entry: Entry) -> None:
        self.ledger[partition_of(entry.key)].append(entry)

    def dispatches(self) -> list[tuple[str, Dispatch]]:
        return [(t.worker, t.body) for t in self.told if isinstance(t.body, Dispatch)]

    def report(self, worker: str, dispatch: Dispatch, body: Body) -> None:
        name = dispatch.job_id, dispatch.attempt, dispatch.epoch
        self.numbers[name] = self.numbers.get(name, 0) + 1
        report = Report(
            tenant="default",
            job_id=dispatch.job_id,
            attempt=dispatch.attempt,
            epoch=dispatch.epoch,
            number=self.numbers[name],
            worker=worker,
            instance=dispatch.instance,
            time="t",
            body=body,
        )
        self.inputs.append(Reported(self.position(), report))

    def resolve(self, key: JobKey, attempt: int, resolution: Resolution) -> None:
        body = ResolveJob(
            tenant=key.tenant,
            job_id=key.job_id,
            attempt=attempt,
            resolution=resolution,
            vendor_job_id="v9" if resolution is Resolution.TAKE_UP else None,
        )
        self.inputs.append(ResolveAsked(self.position(), key, body))


def partition_of(key: JobKey) -> int:
    return zlib.crc32(key.encode()) % PARTITIONS


def fold(ledger: list[list[Entry | Claim]]) -> tuple[Book, dict[JobKey, list[Entry]], int]:
    """What every reader makes of the ledger."""
    book, histories, newest = Book(100), {}, 0
    for partition in ledger:
        reader = PartitionReader()
        for record in partition:
            if isinstance(record, Claim):
                reader.claim(record)
                continue
            last = book.last_seq(record.key)
            if last is not None and reader.counts(record, last):
                book.record(record)
                histories.setdefault(record.key, []).append(record)
        newest = max(newest, reader.newest_claim)
    return book, histories, newest


class ModelBroker:
    """Decides as the real one does, through the same core; appends when the test lets it."""

    def __init__(self, world: World) -> None:
        self.world = world
        _, _, newest = fold(world.ledger)
        self.epoch = newest + 1
        for partition in world.ledger:
            partition.append(Claim(self.epoch, f"b{self.epoch}"))
        self.book, _, _ = fold(world.ledger)
        self.roster = Roster()
        self.read = 0  # everything is read again: the harshest checkpoint
        self.pending: list[Entry] = []
        self.letters: list[DeadLetter] = []
        for worker in WORKERS:
            self.roster.hear(beat(worker))

    def turn(self, count: int, lost: str | None = None) -> None:
        self.world.now += 1
        turn = Turn(self.book, self.roster, self.epoch, iso(self.world.now), CATALOGUE)
        turn.take(scripted_backend())
        for item in self.world.inputs[self.read : self.read + count]:
            turn.take(item)
        self.read = min(len(self.world.inputs), self.read + count)
        for attempt in list(self.book.attempts_of(lost or "").values()):
            turn.take(Suspect(attempt.key, attempt.number, "lost"))
        turn.dispatch()
        self.pending += turn.entries
        self.letters += turn.letters
        self.world.told += turn.instructions  # beside the ledger: it may be in vain

    def land(self) -> None:
        for entry in self.pending:
            self.world.land(entry)
        self.pending.clear()
        self.world.letters += self.letters
        self.letters.clear()

    def crash(self, reached: list[int]) -> None:
        """Of what was under way, each partition gets only so much."""
        for partition in range(PARTITIONS):
            mine = [e for e in self.pending if partition_of(e.key) == partition]
            for entry in mine[: reached[partition]]:
                self.world.land(entry)
        self.pending.clear()


def beat(worker: str) -> Heartbeat:
    return Heartbeat(worker=worker, instance="i1", slots=2, backends=("scripted",))


STEPS = st.one_of(
    st.tuples(st.just("submit"), st.integers(0, JOBS - 1)),
    st.tuples(st.just("cancel"), st.integers(0, JOBS - 1)),
    st.tuples(st.just("report"), st.integers(0, 30), st.sampled_from((*BODIES, *OF_A_DEVICE))),
    st.tuples(
        st.just("resolve"),
        st.integers(0, JOBS - 1),
        st.integers(1, 3),
        st.sampled_from(Resolution),
    ),
    st.tuples(st.just("turn"), st.integers(0, 2), st.integers(0, 6)),
    st.tuples(st.just("land"), st.integers(0, 2)),
    st.tuples(st.just("lose"), st.integers(0, 2), st.sampled_from(WORKERS)),
    st.tuples(st.just("crash"), st.lists(st.integers(0, 4), min_size=2, max_size=2)),
    st.tuples(st.just("claim")),
)

# Two jobs that run on a device, of which much is told.
ON_A_DEVICE = [("submit", 0), ("submit", 1), ("turn", 0, 6), ("land", 0)]
STEPS_THERE = st.one_of(
    st.tuples(st.just("report"), st.integers(0, 7), st.sampled_from(OF_A_DEVICE)),
    st.tuples(st.just("report"), st.integers(0, 7), st.sampled_from(OF_A_DEVICE)),
    st.tuples(st.just("report"), st.integers(0, 7), st.sampled_from((BODIES[0], *BODIES[2:6]))),
    st.tuples(st.just("turn"), st.just(0), st.integers(1, 6)),
    st.tuples(st.just("land"), st.integers(0, 1)),
    st.tuples(st.just("lose"), st.integers(0, 1), st.sampled_from(WORKERS)),
    st.tuples(st.just("crash"), st.lists(st.integers(0, 4), min_size=2, max_size=2)),
    st.tuples(st.just("claim")),
    st.tuples(
        st.just("resolve"), st.integers(0, 1), st.integers(1, 3), st.sampled_from(Resolution)
    ),
    st.tuples(st.just("cancel"), st.integers(0, 1)),
)

CHANGES = ("crash", "claim")  # after these, what a worker said to a lost broker may come to count


def key_of(number: int) -> JobKey:
    return JobKey("default", f"j{number}")


def play(world: World, steps: list[tuple[object, ...]]) -> list[ModelBroker]:
    """Brokers, the newest last; the others are zombies that write on."""
    brokers = [ModelBroker(world)]
    for step in steps:
        match step:
            case "submit", int(number):
                body = SubmitJob("hello-world", job_id=f"j{number}")
                world.inputs.append(Submitted(world.position(), key_of(number), body))
            case "cancel", int(number):
                world.inputs.append(CancelAsked(world.position(), key_of(number)))
            case "report", int(which), body:
                if told := world.dispatches():
                    worker, dispatch = told[which % len(told)]
                    world.report(worker, dispatch, body)  # type: ignore[arg-type]
            case "resolve", int(number), int(attempt), Resolution() as said:
                world.resolve(key_of(number), attempt, said)
            case "turn", int(which), int(count):
                brokers[-1 - which % len(brokers)].turn(count)
            case "land", int(which):
                brokers[-1 - which % len(brokers)].land()
            case "lose", int(which), str(worker):
                brokers[-1 - which % len(brokers)].turn(0, lost=worker)
            case "crash", list(reached):
                brokers.pop().crash(reached)
                brokers.append(ModelBroker(world))
            case ("claim",):
                brokers.append(ModelBroker(world))
    return brokers


def settle(world: World) -> ModelBroker:
    """A last broker, and workers that return whatever they are told to run."""
    broker = ModelBroker(world)
    done = 0
    for _ in range(200):
        broker.turn(1000)
        broker.land()
        told = world.dispatches()
        for worker, dispatch in told[done:]:
            world.report(worker, dispatch, Returned(msgspec.Raw(b"0")))
        done = len(told)
        for attempt in list(broker.book.attempts.values()):
            job = broker.book.jobs[attempt.key]
            dispatches = [
                (w, d)
                for w, d in told
                if (d.job_id, d.attempt, d.epoch) == (job.job_id, job.attempt, job.epoch)
            ]
            for worker, dispatch in dispatches[-1:]:
                world.report(worker, dispatch, Returned(msgspec.Raw(b"0")))
        for key, job in broker.book.jobs.items():
            if job.parked is not None:
                world.resolve(key, job.attempt, Resolution.SUBMIT_AGAIN)
        if broker.read == len(world.inputs) and all(j.terminal for j in broker.book.jobs.values()):
            return broker
    raise AssertionError("jobs are left over")


def runs(history: list[Entry]) -> dict[tuple[int, int], list[int]]:
    """For each attempt, by number and epoch, the numbers of the reports that are told of."""
    said: dict[tuple[int, int], list[int]] = {}
    name = (0, 0)
    for entry in history:
        if isinstance(entry.event, Dispatched):
            name = entry.event.attempt, entry.epoch
        elif entry.report:
            said.setdefault(name, []).append(entry.report)
    return said


def facts_of(world: World, key: JobKey) -> dict[tuple[int, int], set[int]]:
    """For each attempt at the job, the numbers of the reports that said facts."""
    found: dict[tuple[int, int], set[int]] = {}
    for report in reports_of(world, key):
        if isinstance(report.body, FACTS):
            found.setdefault((report.attempt, report.epoch), set()).add(report.number)
    return found


def reports_of(world: World, key: JobKey) -> list[Report]:
    reports = [item.report for item in world.inputs if isinstance(item, Reported)]
    return [report for report in reports if JobKey(report.tenant, report.job_id) == key]


def counted(book: Book) -> Usage:
    """What the one tenant has, by a look at every job; of one that is parked nothing runs."""
    states = [job.state for job in book.jobs.values() if job.parked is None]
    running = states.count(State.RUNNING) + states.count(State.CANCELLING)
    return Usage(queued=states.count(State.QUEUED), running=running)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=60))
def test_each_accepted_job_ends_once_and_last_whoever_crashes_or_writes_on(
    steps: list[tuple[object, ...]],
) -> None:
    world = World()
    brokers = play(world, steps)
    last = settle(world)
    for zombie in brokers:
        zombie.turn(5)
        zombie.land()

    book, histories, _ = fold(world.ledger)
    asked = {item.key for item in world.inputs if isinstance(item, Submitted)}
    assert set(histories) == asked
    for key, history in histories.items():
        assert_sound(history)
        known = facts_of(world, key)  # a fact that is known already is told of no more
        for name, said in runs(history).items():
            assert said == sorted(set(said))
            assert set(range(1, said[-1])) - known.get(name, set()) <= set(said)
        assert book.jobs[key] == last.book.jobs[key]


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS_THERE, max_size=60))
def test_no_id_of_a_vendor_is_lost_whoever_tells_it_and_what_is_intended_goes_to_the_next_attempt(
    steps: list[tuple[object, ...]],
) -> None:
    world = World()
    play(world, [*ON_A_DEVICE, *steps])
    settle(world)

    book, histories, _ = fold(world.ledger)
    for key, history in histories.items():
        assert_sound(history)
        told = {(c.tag, c.vendor_job_id) for c in book.jobs[key].calls}
        told |= {
            (e.event.tag, e.event.vendor_job_id)
            for e in history
            if isinstance(e.event, (CallAccepted, Resolved))
        }
        late = [letter.message for letter in world.letters if letter.job_id == key.job_id]
        for body in (report.body for report in reports_of(world, key)):
            if isinstance(body, Accepted):
                is_late = any(repr(body) in message for message in late)
                assert (body.tag, body.vendor_job_id) in told or is_late
        assert_handed_on(key, history, world)


def assert_sound(history: list[Entry]) -> None:
    """Numbers without a gap, and one end, which is the last; no attempt before its time."""
    events = [entry.event for entry in history]
    for before, event in pairwise(events):
        if isinstance(before, Retried) and isinstance(event, Dispatched):
            assert event.time >= (before.next_attempt_at or before.time)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.terminal for event in events] == [False] * (len(events) - 1) + [True]


def assert_handed_on(key: JobKey, history: list[Entry], world: World) -> None:
    """Each attempt that is on the ledger was given every call that was known by then."""
    given = {
        (d.attempt, d.epoch): {c.tag for c in d.calls}
        for _, d in world.dispatches()
        if d.job_id == key.job_id
    }
    known: set[str] = set()
    for entry in history:
        if isinstance(entry.event, Dispatched):
            assert known <= given[entry.event.attempt, entry.epoch]
        elif isinstance(entry.event, (CallIntended, CallAccepted, CallMetered)):
            known.add(entry.event.tag)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=60))
@example([("submit", 0), ("turn", 0, 1), ("report", 0, Parked("t1", "nobody knows"))])
def test_what_a_broker_has_in_memory_is_what_a_reader_makes_of_its_ledger(
    steps: list[tuple[object, ...]],
) -> None:
    world = World()
    active = play(world, steps)[-1]
    active.turn(1000)
    active.land()

    read, _, _ = fold(world.ledger)
    assert read.jobs == active.book.jobs
    assert set(read.attempts) == set(active.book.attempts)
    assert len(read.queues) + len(read.resting) == sum(
        map(len, (active.book.queues, active.book.resting))
    )
    read.wake(iso(active.world.now))
    assert set(read.queues.backends()) == set(active.book.queues.backends())
    assert len(read.queues) == len(active.book.queues)
    assert read.weight == active.book.weight
    for book in (read, active.book):
        assert book.usage_of("default") == counted(book)
    for worker in WORKERS:
        assert set(read.attempts_of(worker)) == set(active.book.attempts_of(worker))


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS.filter(lambda step: step[0] not in CHANGES), max_size=40), st.integers(0, 40))
@example([("cancel", 0), ("submit", 0)], 2)
def test_inputs_that_are_read_twice_change_nothing(
    steps: list[tuple[object, ...]], back: int
) -> None:
    world = World()
    active = play(world, steps)[-1]
    active.turn(1000)
    active.land()
    before = dict(active.book.jobs)
    for worker in WORKERS:  # no free slots, so that nothing is dispatched meanwhile
        active.roster.hear(msgspec.structs.replace(beat(worker), slots=0))

    active.read = max(0, active.read - back)
    active.turn(1000)

    assert active.pending == []
    assert active.book.jobs == before
