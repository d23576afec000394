"""Whose turn it is, however jobs come and go: as a list says that is looked through every time."""

from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.core.lanes import UNPLACED, place_of
from broker.core.queues import Queues
from broker.core.scheduler import Offer
from schemas.values import JobKey

TENANTS = ("a", "b", "c")
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
        st.tuples(st.just("next"), st.sampled_from(OFFERED)),
        st.tuples(st.just("remove"), st.integers(0, 99)),
        st.tuples(st.just("look"), st.integers(1, 9)),
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

    queues: Queues = field(default_factory=Queues)
    jobs: list[Job] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    count: int = 0

    def job(self, tenant: str, backend: str, priority: int, again: bool) -> Job:
        self.count += 1
        job = Job(JobKey(tenant, f"j{self.count}"), backend, priority, again, self.count)
        self.jobs.append(job)
        return job

    def restore(self, jobs: list[tuple[str, str, int, bool]], size: int) -> None:
        restored = [self.job(*each) for each in jobs]
        for start in range(0, len(restored), size):
            some = restored[start : start + size]
            places = [place_of(j.backend, j.priority, j.again, j.key.tenant) for j in some]
            self.queues.restore([job.key.encode() for job in some], places)

    def add(self, each: tuple[str, str, int, bool]) -> None:
        job = self.job(*each)
        self.queues.add(job.key, job.backend, job.priority, job.again)

    def next(self, backends: tuple[str, ...]) -> None:
        offer = Offer("w", "i", frozenset(backends), free=1)
        choice = self.queues.next([offer], self.held.__contains__)
        free = [job for job in self.jobs if job.key.tenant not in self.held]
        waiting = [job for job in free if job.backend in backends]
        expected = min(waiting, key=order, default=None)
        assert (choice and choice.key) == (expected and expected.key)
        if expected is not None:
            self.leave(expected)

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
        self.queues.look_again()
        found = {job.key: job for job in self.jobs}
        for key in self.queues.to_look_at(limit):
            assert found[key].backend == UNPLACED
            self.queues.place(key, "x")
            found[key].backend, found[key].again = "x", False

    def check(self) -> None:
        assert len(self.queues) == len(self.jobs)
        assert set(self.queues.backends()) == {job.backend for job in self.jobs}
        for backend in BACKENDS:
            waiting = [job for job in self.jobs if job.backend == backend]
            assert self.queues.count(backend) == len(waiting)
            names = [job.key for job in sorted(waiting, key=order)]
            found = self.queues.waiting(backend, 99)
            assert sorted(found) == sorted(names)
            if not self.queues.all_held:
                assert found == names
        for tenant in TENANTS:
            assert self.queues.count_of(tenant) == sum(j.key.tenant == tenant for j in self.jobs)


def order(job: Job) -> tuple[int, bool, int]:
    return -job.priority, not job.again, job.arrival


@settings(max_examples=300, deadline=None)
@given(st.lists(JOBS, max_size=20), st.integers(1, 20), STEPS)
@example(
    [("b", "x", 1, False), ("a", "x", 1, False)],
    1,
    [("hold", "b"), ("next", ("x",)), ("add", ("a", "x", 1, False)), ("release", "b")],
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
