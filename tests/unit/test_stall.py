"""A process that slept, and one that worked: both find that time has passed."""

import pytest

from broker.ledger.claim import SteppedDownError
from broker.ledger.stall import Stall


class Times:
    """A clock, and the time that a process has worked."""

    def __init__(self) -> None:
        self.now = self.worked = 100.0

    def stall(self) -> Stall:
        return Stall(2.0, lambda: self.now, lambda: self.worked)

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.worked += seconds


def test_who_was_asleep_steps_down() -> None:
    times = Times()
    stall = times.stall()
    times.work(5.0)
    times.now += 2.1

    with pytest.raises(SteppedDownError, match=r"asleep for 2\.1 s"):
        stall.check()


def test_who_was_at_work_for_long_has_a_doubt_once() -> None:
    times = Times()
    stall = times.stall()
    times.work(1.9)
    stall.check()
    assert not stall.take_doubt()

    times.work(0.2)
    times.now += 1.9
    stall.check()
    assert stall.take_doubt()
    assert not stall.take_doubt()


def test_more_threads_than_one_work_more_than_time_passes() -> None:
    times = Times()
    stall = times.stall()
    times.now += 1.0
    times.worked += 4.0
    stall.check()

    assert not stall.take_doubt()
