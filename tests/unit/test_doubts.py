"""Attempts that seem lost wait for what had been reported."""

from broker.core.doubts import Doubts
from broker.core.leases import Suspect
from schemas.values import JobKey

FIRST, SECOND = (Suspect(JobKey("t", job_id), 1, "silent") for job_id in ("j1", "j2"))


def test_a_suspect_is_lost_once_all_reports_of_then_are_decided_and_only_once() -> None:
    doubts = Doubts[int]()
    doubts.add([FIRST], {0: 3, 1: 5})

    assert doubts.settle({0: 3, 1: 4}) == []
    assert doubts.settle({0: 9, 1: 5}) == [FIRST]
    assert doubts.settle({0: 9, 1: 9}) == []


def test_a_suspect_that_comes_again_waits_no_longer_for_that() -> None:
    doubts = Doubts[int]()
    doubts.add([FIRST], {0: 3})

    assert doubts.new([FIRST, SECOND]) == [SECOND]
    doubts.settle({0: 3})
    assert doubts.new([FIRST, SECOND]) == [FIRST, SECOND]


def test_where_nothing_was_reported_there_is_nothing_to_wait_for() -> None:
    doubts = Doubts[int]()
    doubts.add([FIRST], {0: 0})

    assert doubts.settle({}) == [FIRST]
