"""What time it is for a log, whatever the wall clock says."""

from dataclasses import dataclass

from broker.transports.retention import survivors
from broker.transports.steady import BELIEVED_AFTER, LEAP, LogTime
from broker.transports.topics import DAY, EVENTS, TOPICS
from schemas.records import Stored

START = 1_700_000_000.0
WEEK = 7 * DAY


@dataclass
class Clocks:
    """The wall clock, and one that nobody sets."""

    wall: float = START
    steady: float = 50.0

    def log_time(self, known: float | None = None) -> LogTime:
        return LogTime(lambda: self.wall, lambda: self.steady, known)

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def stored(at: float) -> Stored:
    return Stored(EVENTS, 0, 0, int(at * 1000), b"key", b"value", ())


def is_kept(record: Stored, time: LogTime) -> bool:
    return bool(survivors([record], TOPICS[EVENTS], time.now()))


def test_time_goes_on_as_the_wall_clock_does() -> None:
    clocks = Clocks()
    time = clocks.log_time()
    for _ in range(100):
        clocks.run(600)
        assert time.now() == time.stamp() == clocks.wall


def test_a_clock_that_is_ten_days_ahead_for_hours_makes_nothing_old() -> None:
    clocks = Clocks()
    time = clocks.log_time()
    mine = stored(time.stamp())
    clocks.wall += 10 * DAY
    for _ in range(100):
        clocks.run(600)
        assert is_kept(mine, time)

    clocks.wall -= 10 * DAY
    assert time.now() == clocks.wall


def test_it_makes_nothing_old_at_a_start_either() -> None:
    clocks = Clocks(START + 10 * DAY)
    time = clocks.log_time(known=START)
    assert is_kept(stored(START - 60), time)


def test_a_leap_is_believed_once_the_clock_has_run_on_from_there() -> None:
    clocks = Clocks()
    time = clocks.log_time()
    mine = stored(time.stamp())
    clocks.wall += 10 * DAY
    time.now()
    clocks.run(BELIEVED_AFTER - 1)
    assert is_kept(mine, time)

    clocks.run(2)
    assert not is_kept(mine, time)
    assert time.now() == clocks.wall


def test_a_clock_that_leaps_to_and_fro_is_not_believed() -> None:
    clocks = Clocks()
    time = clocks.log_time()
    mine = stored(time.stamp())
    for _ in range(5):
        for leap in (10 * DAY, -10 * DAY):
            clocks.wall += leap
            time.now()
            clocks.run(0.6 * BELIEVED_AFTER)
            assert is_kept(mine, time)


def test_a_small_leap_is_believed_at_once() -> None:
    clocks = Clocks()
    time = clocks.log_time()
    clocks.wall += LEAP - 1
    assert time.now() == clocks.wall


def test_a_clock_that_is_behind_keeps_nothing_for_ever_and_drops_nothing_early() -> None:
    clocks = Clocks()
    time = clocks.log_time()
    clocks.wall -= 10 * DAY
    mine = stored(time.stamp())
    clocks.run(WEEK - 60)
    assert is_kept(mine, time)

    clocks.run(120)
    assert not is_kept(mine, time)


def test_a_clock_that_stands_still_keeps_nothing_for_ever() -> None:
    clocks = Clocks()
    time = clocks.log_time()
    mine = stored(time.stamp())
    clocks.steady += WEEK + 1
    assert not is_kept(mine, time)
