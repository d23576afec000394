"""When a job begins: what follows from slots, from what runs and from what goes first."""

from heapq import heapify, heapreplace

import pytest
from msgspec.structs import replace

from broker.core.ahead import Ahead
from broker.core.forecasts import Start, plain_wait, postponed, start
from schemas.workers import QueueSnapshot, Run

NOW = 1_800_000_000.0
NOBODY = Ahead(0, 0, 0, 0.0)
QUEUE = QueueSnapshot(backend="x", queued=1, running=0, slots=1, free=1, seconds=10.0)


def jobs(count: int, seconds: float = 10.0) -> Ahead:
    """So many go first, of so many seconds each."""
    return Ahead(0, 0, count, count * seconds)


def test_where_a_slot_is_free_a_job_begins_at_once() -> None:
    assert plain_wait(QUEUE, NOBODY, NOW) == 0.0


def test_with_one_slot_it_begins_when_all_before_it_have_ended() -> None:
    busy = replace(QUEUE, free=0, running=1, runs=(Run(NOW - 4, 10.0, 0.0),))

    assert plain_wait(busy, NOBODY, NOW) == pytest.approx(6.0)
    assert plain_wait(busy, jobs(3), NOW) == pytest.approx(36.0)


def test_what_was_given_to_a_worker_and_has_not_begun_goes_first_too() -> None:
    given = (Run(NOW - 4, 10.0, 0.0), Run(0.0, 10.0, 0.0))
    busy = replace(QUEUE, free=0, running=2, runs=given)

    assert plain_wait(busy, NOBODY, NOW) == pytest.approx(16.0)


@pytest.mark.parametrize("slots", [2, 4, 16])
@pytest.mark.parametrize("ahead", [0, 1, 7, 100, 10_000])
def test_with_several_slots_it_begins_about_when_jobs_that_go_one_by_one_say(
    slots: int, ahead: int
) -> None:
    runs = tuple(Run(NOW - 10.0 * n / slots, 10.0, 0.0) for n in range(slots))
    ends = [run.began + run.seconds - NOW for run in runs]
    heapify(ends)
    for _ in range(ahead):
        heapreplace(ends, ends[0] + 10.0)
    busy = replace(QUEUE, slots=slots, free=0, running=slots, runs=runs)

    assert plain_wait(busy, jobs(ahead), NOW) == pytest.approx(ends[0], abs=5.0)


def test_what_runs_for_longer_than_usual_goes_on_for_a_while() -> None:
    late = replace(QUEUE, free=0, runs=(Run(NOW - 30, 10.0, 5.0),))
    very_late = replace(QUEUE, free=0, runs=(Run(NOW - 1000, 10.0, 5.0),))

    assert 0 < (plain_wait(very_late, NOBODY, NOW) or 0) < (plain_wait(late, NOBODY, NOW) or 0) < 5


def test_of_slots_whose_jobs_are_not_told_each_is_half_way() -> None:
    busy = replace(QUEUE, slots=100, free=0, running=100)

    assert plain_wait(busy, NOBODY, NOW) == pytest.approx(5.0)


def test_without_slots_nobody_can_say() -> None:
    assert start(replace(QUEUE, slots=0, free=0), NOBODY, NOW) is None


def test_the_range_is_how_late_others_came() -> None:
    late = replace(QUEUE, late=(-0.5, 0.25, 2.0))
    found = start(late, jobs(9), NOW)

    assert found is not None
    assert found == pytest.approx((40.0, 115.0, 290.0))


def test_a_range_never_begins_before_now_and_is_in_order() -> None:
    found = start(replace(QUEUE, late=(3.0, -2.0, -1.0)), jobs(1), NOW)

    assert found is not None
    assert 0.0 <= found.earliest <= found.expected <= found.latest


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ((0, 10, 40), (0, 10, 40)),  # it ends as the window begins
        ((0, 41, 60), (0, 150, 160)),  # 60 is 10 s into it
        ((60, 80, 200), (160, 180, 300)),
    ],
)
def test_what_would_reach_into_a_window_of_others_begins_as_much_later_as_that_lasts(
    found: tuple[float, ...], told: tuple[float, ...]
) -> None:
    assert postponed(Start(*found), seconds=10, begin=50, end=150) == told
