"""Very many jobs are put in the order of their arrival in small steps."""

from collections.abc import Iterator
from operator import attrgetter

from hypothesis import given
from hypothesis import strategies as st

from broker.core.book import RUN, by_age
from schemas.jobs import Job
from schemas.values import State

CREATED = attrgetter("created")


def jobs(times: Iterator[int]) -> list[Job]:
    return [
        Job(
            tenant="default",
            job_id=f"j{number}",
            seq=1,
            state=State.QUEUED,
            created=f"{time:08}",
        )
        for number, time in enumerate(times)
    ]


@given(st.lists(st.integers(0, 9)))
def test_those_of_one_time_stay_as_they_came(times: list[int]) -> None:
    given_ = jobs(iter(times))

    found = [job for some in by_age(given_, CREATED) for job in some]

    assert found == sorted(given_, key=lambda job: job.created)


def test_no_step_takes_many_however_mixed_they_are() -> None:
    count = 20 * RUN
    mixed = jobs(number * 7919 % count for number in range(count))
    looked_at = 0

    def counted() -> Iterator[Job]:
        nonlocal looked_at
        for job in mixed:
            looked_at += 1
            yield job

    found, before = [], 0
    for some in by_age(counted(), CREATED):
        assert len(some) <= RUN
        assert looked_at - before <= RUN
        before = looked_at
        found += some

    assert [job.created for job in found] == [f"{time:08}" for time in range(count)]
