"""Forecasts are held against what happens; what is remembered of them is bounded."""

from msgspec.structs import replace

from broker.core import promises
from broker.core.ahead import Ahead
from broker.core.promises import ENOUGH, KEPT, MOST, Miss, Promises
from schemas.values import JobKey
from schemas.workers import UNTOLD, QueueSnapshot

QUEUE = QueueSnapshot(backend="x", queued=1, running=1, slots=1, free=0, seconds=10.0)
AHEAD = Ahead(0, 0, 1, 10.0)  # 15 s, as the one that runs is half way


def key(number: int) -> JobKey:
    return JobKey("chem", f"j{number}")


def begin(kept: Promises, number: int, waits: float) -> Miss | None:
    """A job comes, and begins after so many seconds."""
    at = number * 1000.0
    kept.make(QUEUE, key(number), AHEAD, at)
    return kept.begun(key(number), at + waits)


def test_how_late_a_job_began_is_told_once() -> None:
    kept = Promises()

    assert begin(kept, 1, 25.0) == Miss("x", 10.0, within=True)
    assert begin(kept, 2, 500.0) == Miss("x", 485.0, within=False)
    assert kept.begun(key(1), 2000.0) is None


def test_one_job_a_second_is_looked_at_and_none_twice() -> None:
    kept = Promises()
    kept.make(QUEUE, key(1), AHEAD, 100.0)
    kept.make(QUEUE, key(2), AHEAD, 100.5)
    kept.make(QUEUE, key(1), AHEAD, 110.0)

    assert kept.begun(key(2), 120.0) is None
    assert kept.begun(key(1), 115.0) == Miss("x", 0.0, within=True)


def test_ranges_follow_from_how_late_starts_came() -> None:
    kept = Promises()
    for number in range(ENOUGH - 1):
        begin(kept, number, 15.0)
    assert kept.late("x") == UNTOLD
    for number in range(KEPT):
        begin(kept, ENOUGH + number, 15.0 + 25.0 * (number % 11))

    assert kept.late("x") == (1.0, 5.0, 9.0)  # by 15 s to wait, and 10 that a job takes
    assert kept.late("y") == UNTOLD


def test_who_takes_over_goes_on_with_what_was_told_before() -> None:
    kept = Promises()
    kept.recall(replace(QUEUE, late=(0.0, 1.0, 4.0)))

    assert kept.late("x") == (0.0, 1.0, 4.0)


def test_a_job_that_ends_without_a_start_is_no_late_one() -> None:
    kept = Promises()
    kept.make(QUEUE, key(1), AHEAD, 0.0)
    kept.drop(key(1))

    assert kept.begun(key(1), 100.0) is None


def test_so_many_jobs_are_awaited_and_no_more_and_others_come_once_they_begin() -> None:
    kept = Promises()
    for number in range(10 * MOST):
        kept.make(QUEUE, key(number), AHEAD, number * 1e6)
    begun = [number for number in range(10 * MOST) if kept.begun(key(number), 1e12)]
    kept.make(QUEUE, key(-1), AHEAD, 1e12)

    assert begun == list(range(MOST))
    assert kept.begun(key(-1), 1e12) is not None


def test_where_many_wait_those_that_are_looked_at_are_further_apart() -> None:
    kept = Promises()
    for number in range(MOST):
        kept.make(QUEUE, key(number), AHEAD, float(number))
    begun = [number for number in range(MOST) if kept.begun(key(number), 1e6)]

    assert MOST / 2 < len(begun) < MOST / 2 + 10


def test_backends_beyond_those_that_are_remembered_are_passed_over() -> None:
    kept = Promises()
    for number in range(promises.BACKENDS + 1):
        kept.make(replace(QUEUE, backend=f"b{number}"), key(number), AHEAD, 0.0)

    assert kept.begun(key(promises.BACKENDS - 1), 1.0) is not None
    assert kept.begun(key(promises.BACKENDS), 1.0) is None
