"""What is said to go before a job is what does, however many tenants wait and whatever they used."""

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.ahead import Standing, counted_ahead, named_ahead
from broker.core.book import Book
from broker.core.overview import queue_snapshots
from broker.core.roster import Roster
from broker.telemetry.times import iso
from schemas import jobs
from schemas.values import JobKey, State
from schemas.workers import QueueSnapshot

TENANTS = ("a", "b", "c", "d")
LINES = st.dictionaries(
    st.tuples(st.sampled_from(TENANTS), st.integers(-1, 1)), st.integers(1, 30), min_size=1
)
USED = st.lists(st.tuples(st.sampled_from(TENANTS), st.integers(1, 20)), max_size=20)


def filled(lines: dict[tuple[str, int], int], used: list[tuple[str, int]]) -> Book:
    """So many jobs of each tenant and priority wait; tenants began jobs of so many seconds."""
    book = Book(10)
    sharing = book.queues.sharing
    for tenant, seconds in used:
        sharing.estimates.ran(tenant, "x", float(seconds))
        job = jobs.Job(
            tenant=tenant,
            job_id="j",
            seq=2,
            state=State.RUNNING,
            created=iso(0),
            program_id=tenant,
            backend="x",
        )
        sharing.begin(job, iso(0))
    for (tenant, priority), count in lines.items():
        for number in range(count):
            book.queues.add(JobKey(tenant, f"{priority}-{number}"), "x", priority)
    return book


def told(book: Book, named: int) -> QueueSnapshot:
    """The queue, which names so many jobs."""
    (queue,) = queue_snapshots(book, Roster(), (), {}, named=1_000)
    return QueueSnapshot(
        backend="x",
        queued=queue.queued,
        running=0,
        slots=1,
        waiting=queue.waiting[:named],
        lines=queue.lines,
    )


@settings(max_examples=200)
@given(LINES, USED)
def test_what_goes_before_a_job_is_counted_without_a_look_at_each(
    lines: dict[tuple[str, int], int], used: list[tuple[str, int]]
) -> None:
    book = filled(lines, used)
    queue, order = told(book, 0), book.queues.waiting("x", 1_000)
    for place, key in enumerate(order):
        priority, rank = map(int, key.job_id.rsplit("-", 1))
        ahead = counted_ahead(queue, Standing(key.tenant, priority, again=False, rank=rank))
        assert ahead is not None
        before = [JobKey(each.tenant, each.job_id) for each in order[:place]]
        # Of tenants that have come as far as this one, who came first is not told.
        assert abs(ahead.total - place) <= len(TENANTS)
        assert ahead.yours == sum(each.tenant == key.tenant for each in before)
        assert ahead.higher == sum(
            each.tenant != key.tenant and int(each.job_id.rsplit("-", 1)[0]) > priority
            for each in before
        )


@settings(max_examples=100)
@given(LINES, USED)
def test_of_a_job_that_is_named_it_is_exact(
    lines: dict[tuple[str, int], int], used: list[tuple[str, int]]
) -> None:
    book = filled(lines, used)
    queue, order = told(book, 1_000), book.queues.waiting("x", 1_000)
    for place, key in enumerate(order):
        ahead = named_ahead(queue, key, int(key.job_id.rsplit("-", 1)[0]))
        assert ahead is not None
        assert ahead.total == place
        assert ahead.yours == sum(each.tenant == key.tenant for each in order[:place])


def test_of_a_job_of_which_nothing_is_told_nothing_is_said() -> None:
    queue = told(filled({("a", 0): 2}, []), 1)

    assert counted_ahead(queue, Standing("b", 0, again=False, rank=0)) is None
    assert counted_ahead(queue, Standing("a", 1, again=False, rank=0)) is None
    assert named_ahead(queue, JobKey("a", "0-1"), 0) is None
