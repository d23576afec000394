"""Whose turn it is, however jobs come and go: as a list says that is looked through every time."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.core.lanes import UNPLACED, place_of
from broker.core.queues import Queues
from broker.core.restoring import Restoring
from broker.core.scheduler import Offer
from broker.core.sharing import ALL, Sharing
from broker.telemetry.times import iso
from schemas import jobs
from schemas.events import Cancelled
from schemas.values import JobKey, State

TENANTS = ("a", "b", "c")
WEIGHTS = {"a": 1.0, "b": 2.0, "c": 0.5}  # powers of two, as sums are compared
BACKENDS = ("x", "y", UNPLACED)
OFFERED = (("x",), ("y",), ("x", "y"))

JOBS = st.tuples(
    st.sampled_from(TENANTS),
    st.sampled_from(BACKENDS),
    st.integers(-1, 1),  # priority
    st.booleans(),  # whether it was lost before, which says where it waits
).filter(lambda job: job[1] != UNPLACED or not job[3])
Steps = list[tuple[object, ...]]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), JOBS),
        st.tuples(st.just("next"), st.tuples(st.sampled_from(OFFERED), st.sampled_from((0, 1, 3)))),
        st.tuples(st.just("remove"), st.integers(0, 99)),
        st.tuples(st.just("look"), st.integers(1, 9)),
        st.tuples(st.just("rest"), JOBS),
        st.tuples(st.just("wake"), st.integers(0, 99)),
        st.tuples(st.just("hold"), st.sampled_from(TENANTS)),
        st.tuples(st.just("release"), st.sampled_from(TENANTS)),
    ),
    max_size=60,
)


@dataclass
class Job:
    """One that waits."""

    key: JobKey
    backend: str
    priority: int
    again: bool
    arrival: int


@dataclass
class Both:
    """The queues, and all jobs in a list."""

    queues: Queues = field(default_factory=lambda: Queues(Sharing(WEIGHTS.__getitem__, window=1e9)))
    jobs: list[Job] = field(default_factory=list)
    resting: list[Job] = field(default_factory=list)  # until they are tried again
    held: set[str] = field(default_factory=set)
    count: int = 0
    used: defaultdict[tuple[str, str], float] = field(
        default_factory=lambda: defaultdict(float)
    )  # by tenant and backend

    def job(self, tenant: str, backend: str, priority: int, again: bool) -> Job:
        self.count += 1
        job = Job(JobKey(tenant, f"j{self.count}"), backend, priority, again, self.count)
        self.jobs.append(job)
        return job

    def restore(self, jobs: list[tuple[str, str, int, bool]], size: int) -> None:
        restored = [self.job(*each) for each in jobs]
        restoring = Restoring()
        for start in range(0, len(restored), size):
            some = restored[start : start + size]
            places = [place_of(j.backend, j.priority, j.again, j.key.tenant) for j in some]
            restoring.take([job.key.encode() for job in some], places)
        for block in restoring.blocks():
            self.queues.restore(block)

    def add(self, each: tuple[str, str, int, bool]) -> None:
        job = self.job(*each)
        self.queues.add(job.key, job.backend, job.priority, job.again)

    def rest(self, each: tuple[str, str, int, bool]) -> None:
        """One comes back from an attempt, and is not tried again at once."""
        tenant, backend, priority, _ = each
        if backend != UNPLACED:
            self.resting.append(self.job(tenant, backend, priority, again=True))
            assert self.queues.arrivals.next() == self.jobs.pop().arrival

    def wake(self, number: int) -> None:
        """The time of one has come: it goes as if it had waited here meanwhile."""
        if self.resting:
            job = self.resting.pop(number % len(self.resting))
            place = job.backend, job.priority, job.again
            self.queues.add(job.key, *place, arrived=job.arrival)
            self.jobs.append(job)

    def next(self, what: tuple[tuple[str, ...], int]) -> None:
        """One begins, if one may, and ends after so many seconds."""
        backends, seconds = what
        offer = Offer("w", "i", frozenset(backends), free=1)
        choice = self.queues.next([offer], self.held.__contains__)
        free = [job for job in self.jobs if job.key.tenant not in self.held]
        heads = [self.head([j for j in free if j.backend == backend]) for backend in backends]
        expected = min(filter(None, heads), key=lambda job: self.order(job, ALL), default=None)
        assert (choice and choice.key) == (expected and expected.key)
        if expected is not None:
            self.leave(expected)
            self.run(expected, seconds)

    def run(self, job: Job, seconds: int) -> None:
        sharing, tenant = self.queues.sharing, job.key.tenant
        began = jobs.Job(
            tenant=tenant,
            job_id=job.key.job_id,
            seq=2,
            state=State.RUNNING,
            created=iso(0),
            started=iso(0),
            backend=job.backend,
        )
        end = Cancelled(
            job_id=job.key.job_id,
            seq=3,
            time=iso(seconds),
            state=State.CANCELLED,
            reason="",
            message="",
            attempt=1,
        )
        charge, changed = sharing.begin(began, iso(0))
        self.queues.touch(job.backend, changed)
        self.queues.touch(job.backend, sharing.end(began, job.backend, charge, end))
        for where in (job.backend, ALL):
            self.used[tenant, where] += seconds / WEIGHTS[tenant]

    def order(self, job: Job, where: str) -> tuple[int, bool, float, int]:
        used = 0.0 if job.again else self.used[job.key.tenant, where]
        return -job.priority, not job.again, used, job.arrival

    def head(self, waiting: Sequence[Job]) -> Job | None:
        return min(waiting, key=lambda job: self.order(job, job.backend), default=None)

    def in_turns(self, waiting: list[Job]) -> list[JobKey]:
        """As they would go, each taking what is expected."""
        before, names = self.used.copy(), list[JobKey]()
        while (job := self.head(waiting)) is not None:
            waiting.remove(job)
            names.append(job.key)
            usual = self.queues.sharing.usual(job.key.tenant, job.backend)
            self.used[job.key.tenant, job.backend] += usual
        self.used = before
        return names

    def hold(self, tenant: str) -> None:
        self.held.add(tenant)

    def release(self, tenant: str) -> None:
        self.held.discard(tenant)
        self.queues.release(tenant)

    def remove(self, number: int) -> None:
        if self.jobs:
            self.leave(self.jobs[number % len(self.jobs)])

    def leave(self, job: Job) -> None:
        self.queues.remove(job.key)
        self.jobs.remove(job)

    def look(self, limit: int) -> None:
        """Some of those that wait for any backend find one."""
        self.queues.seekers.look_again()
        found = {job.key: job for job in self.jobs}
        for key, _ in self.queues.seekers.to_look_at(limit):
            assert found[key].backend == UNPLACED
            self.queues.place(key, "x")
            found[key].backend, found[key].again = "x", False

    def check(self) -> None:
        assert len(self.queues) == len(self.jobs)
        assert set(self.queues.backends()) == {job.backend for job in self.jobs}
        for backend in BACKENDS:
            waiting = [job for job in self.jobs if job.backend == backend]
            assert self.queues.count(backend) == len(waiting)
            names = self.in_turns(waiting)
            found = self.queues.waiting(backend, 99)
            assert sorted(found) == sorted(names)
            if not self.queues.held.anywhere:
                assert found == names
        for tenant in TENANTS:
            assert self.queues.count_of(tenant) == sum(j.key.tenant == tenant for j in self.jobs)


@settings(max_examples=300)
@given(st.lists(JOBS, max_size=20), st.integers(1, 20), STEPS)
@example(
    [("b", "x", 1, False), ("a", "x", 1, False)],
    1,
    [("hold", "b"), ("next", (("x",), 1)), ("add", ("a", "x", 1, False)), ("release", "b")],
)
def test_who_goes_next_is_who_a_list_of_all_says(
    restored: list[tuple[str, str, int, bool]], size: int, steps: Steps
) -> None:
    both = Both()
    both.restore(restored, size)
    both.check()
    for name, what in steps:
        getattr(both, str(name))(what)
        both.check()
