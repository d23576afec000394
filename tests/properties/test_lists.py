"""Lists see what a plain filter over all jobs sees, in whatever order the jobs came and changed."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.gateway.cursors import list_cursor, parse_list_cursor
from broker.gateway.filters import JobFilter, Key, Part
from broker.gateway.rows import EventRow, JobRow, PartitionRow, Transaction
from broker.gateway.store import FREED, Store
from schemas.jobs import Job, JobDetails
from schemas.values import State

BLOCK = 8  # jobs in a block, so that there are many
TENANTS = ("default", "other")
PROGRAMS = ("sampler", "hello-world", "")
BACKENDS = ("aer_simulator", "fake_five", "mock_five", "mock", "mockery", None)
TAGS = ("a", "b", '"', '","', "a\x1f\x1eb", "é", "")
SESSIONS = ("s1", "s2", None)
TIMES = tuple(f"2026-11-28T06:56:{second:02}.{ms}Z" for second in range(8) for ms in ("000", "500"))
BEFORE = "2000-01-01T00:00:00.000Z"


@st.composite
def jobs(draw: st.DrawFn) -> JobRow:
    """A job of few names, in any state."""
    number = draw(st.integers(1, 60))
    terminal = draw(st.booleans())
    program, created = draw(st.sampled_from(PROGRAMS)), draw(st.sampled_from(TIMES))
    details = JobDetails(
        program_id=program,
        program_version="v1",
        tags=tuple(draw(st.lists(st.sampled_from(TAGS), max_size=3))),
        session_id=draw(st.sampled_from(SESSIONS)),
        time_limit=1.0,
    )
    job = Job(
        tenant=TENANTS[number % 5 == 0],
        job_id=f"{number * 7919 % 1000:03}",
        seq=1,
        state=State.COMPLETED if terminal else State.QUEUED,
        created=created,
        program_id=program,
        details=draw(st.sampled_from((details, details, None))),
        backend=draw(st.sampled_from(BACKENDS)),
        ended=max(created, draw(st.sampled_from(TIMES))) if terminal else None,
    )
    return JobRow(number, job, based=False)


filters = st.builds(
    JobFilter,
    tenant=st.sampled_from(TENANTS),
    tags=st.lists(st.sampled_from(TAGS), max_size=2, unique=True).map(tuple),
    program=st.sampled_from((None, None, *PROGRAMS)),
    session=st.sampled_from((None, None, "s1", "s2", "s3")),
    backend=st.sampled_from((None, None, "aer_simulator", "nowhere")),
    terminal=st.sampled_from((None, None, True, False)),
    created_after=st.sampled_from((None, None, *TIMES)),
    created_before=st.sampled_from((None, None, *TIMES)),
    mocks=st.booleans(),
    alone=st.booleans(),
)
pages = st.tuples(filters, st.integers(0, 20), st.integers(0, 70), st.booleans())
writes = st.tuples(st.lists(jobs(), max_size=40), st.sets(st.integers(1, 60), max_size=10))
steps = st.lists(st.one_of(writes, writes, st.sampled_from(("reopen", "fail", *TIMES))), max_size=8)


@contextmanager
def stored() -> Iterator[Store]:
    """A new store."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "gateway.db", BLOCK)
        store.open("log")
        yield store
        store.close()


@settings(max_examples=40)
@given(steps, st.lists(pages, min_size=5, max_size=20))
def test_a_page_is_what_a_plain_filter_over_all_jobs_gives(
    done: list[object], asked: list[tuple[JobFilter, int, int, bool]]
) -> None:
    with stored() as store:
        kept: dict[int, Job] = {}
        for step in done:
            _take(store, kept, step)
        for wanted, limit, offset, ascending in asked:
            matching = [job for job in kept.values() if wanted.matches(job)]
            matching.sort(key=lambda job: (job.created, job.job_id), reverse=not ascending)
            page = store.page(wanted, Part(limit, offset, ascending=ascending), 1 << 20)
            assert (page.count, page.offset) == (len(matching), offset)
            assert page.jobs == matching[offset : offset + limit]


walks = st.tuples(
    filters, st.booleans(), st.integers(1, 20), st.sampled_from((1, 300, 2000, 1 << 20))
)
changes = st.one_of(writes, writes, st.just("reopen"), st.sampled_from(TIMES))


@settings(max_examples=60)
@given(st.lists(jobs(), max_size=60), walks, st.lists(changes, max_size=8))
def test_who_goes_on_from_a_cursor_sees_each_job_once(
    rows: list[JobRow], walk: tuple[JobFilter, bool, int, int], meanwhile: list[object]
) -> None:
    wanted, ascending, limit, budget = walk
    with stored() as store:
        kept: dict[int, Job] = {}
        _take(store, kept, (rows, set()))
        always = _listed(kept, wanted)
        ever, seen, cursor = set(always), [], None
        while True:
            after = cursor and parse_list_cursor(cursor, wanted, ascending)
            page = store.page(wanted, Part(limit, 0, after, ascending), budget)
            seen += [(job.created, job.job_id) for job in page.jobs]
            matching = sorted(_listed(kept, wanted), reverse=not ascending)
            assert page.count == len(matching)
            assert seen[len(seen) - len(page.jobs) :] == matching[page.offset :][: len(page.jobs)]
            if page.offset + len(page.jobs) >= page.count:
                break
            cursor = list_cursor(wanted, ascending, seen[-1])
            if meanwhile:
                _take(store, kept, meanwhile.pop())
                always &= _listed(kept, wanted)
                ever |= _listed(kept, wanted)

    assert seen == sorted(set(seen), reverse=not ascending)
    assert always <= set(seen) <= ever


def _listed(kept: Mapping[int, Job], wanted: JobFilter) -> set[Key]:
    return {(job.created, job.job_id) for job in kept.values() if wanted.matches(job)}


def _take(store: Store, kept: dict[int, Job], step: object) -> None:
    """Do *step*, to the store and to a plain dictionary."""
    match step:
        case (list(rows), set(gone)):
            latest = {row.id: row for row in rows}
            store.write(Transaction([], list(latest.values()), [], list(gone)))
            for ident in gone:
                kept.pop(ident, None)
            kept |= {ident: row.job for ident, row in latest.items()}
        case "reopen":
            store.close()
            store.open("log")
        case "fail":
            rows = [JobRow(99, Job(**_plain(99)), based=False)]
            broken = PartitionRow(0, 0, 0, 0, object())  # type: ignore[arg-type]
            with pytest.raises(TypeError):
                store.write(Transaction([broken], rows, []))
        case str(moment):
            assert store.prune({}, moment) is False
            for ident in [i for i, job in kept.items() if job.ended and job.ended < moment]:
                del kept[ident]


def _plain(number: int) -> Mapping[str, object]:
    state = {"seq": 1, "state": State.QUEUED, "created": TIMES[0]}
    return {"tenant": "default", "job_id": f"{number:05}"} | state


@settings(max_examples=30)
@given(st.lists(jobs(), max_size=40), st.lists(filters, max_size=10))
def test_events_of_many_jobs_are_those_of_the_jobs_that_match(
    rows: list[JobRow], asked: list[JobFilter]
) -> None:
    latest = {row.id: row for row in rows}
    events = [EventRow(0, 3 * i, i, 1, "queued", b"{}") for i in latest]
    with stored() as store:
        store.write(Transaction([], list(latest.values()), events))
        for wanted in asked:
            found, after = store.scan(wanted, 0, 0, 1000, 1 << 20)
            assert [row.job for row in found] == [
                ident for ident in sorted(latest) if wanted.matches(latest[ident].job)
            ]
            assert after == 1000


def test_what_is_dropped_gives_its_space_back() -> None:
    with stored() as store:
        for start in range(1, 6001, 2000):
            rows = [
                JobRow(number, Job(**_plain(number), ended=TIMES[0], message="x" * 3000), False)
                for number in range(start, start + 2000)
            ]
            events = [EventRow(0, row.id, row.id, 1, "failed", b'{"a":1}') for row in rows]
            store.write(Transaction([], rows, events))
        before = store._writing.pragma("page_count")
        store.prune({}, BEFORE)
        kept = store._writing.pragma("page_count")
        while store.prune({0: 10_000}, TIMES[-1]):
            pass
        left, free = (store._writing.pragma(what) for what in ("page_count", "freelist_count"))

    assert before == kept > 4000
    assert free <= FREED
    assert left - free < 50


def test_blocks_whose_jobs_are_gone_leave_nothing_behind() -> None:
    times = [f"2026-11-28T06:56:{second:02}.000Z" for second in range(60)]
    with stored() as store:
        for number in range(1, 41):
            plain = _plain(number) | {"created": times[number], "ended": times[number]}
            store.write(Transaction([], [JobRow(number, Job(**plain), based=False)], []))
        everything = JobFilter("default"), Part(100, ascending=True), 1 << 20
        before = store.page(*everything).count
        store.prune({}, times[31])
        left = store.page(*everything)
        blocks = store._writing.execute("SELECT count(*) FROM blocks").get
        bits = store._writing.execute("SELECT count(DISTINCT block) FROM bits").get

    assert (before, left.count, [job.created for job in left.jobs]) == (40, 10, times[31:41])
    assert blocks == bits <= 3
