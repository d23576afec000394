"""A reserved device: in its window its owner's jobs alone begin, before it what ends in time."""

import os
import time
from random import Random

import pytest
from msgspec.structs import replace

from broker.core.gaps import AT_ONCE
from broker.core.windows import Windows, overlapping
from broker.telemetry.times import iso
from executors.scripted import scripted_backend
from schemas.reservations import Reservation
from schemas.sessions import Mode
from schemas.values import JobKey
from schemas.workers import Heartbeat
from tests.support.virtual import DEVICE, START, VirtualDevice


def reservation(begin: float, end: float, ident: str = "r1", **more: str) -> Reservation:
    """Of the tenant `a`; times are seconds from the start."""
    said = {"tenant": "a", "backend": DEVICE, "created": "t"} | more
    return Reservation(id=ident, begin=iso(START + begin), end=iso(START + end), **said)


def reserved(begin: float, end: float, **more: str) -> VirtualDevice:
    device = VirtualDevice()
    device.windows.put(reservation(begin, end, **more))
    return device


def learn(device: VirtualDevice, seconds: float, runs: int = 40) -> None:
    """What the program takes there, always the same."""
    for number in range(runs):
        device.submit(f"z-{device.now:.0f}-{number}")
        device.end(device.running[0], after=seconds)


def test_only_jobs_of_its_owner_begin_in_a_window() -> None:
    device = reserved(100, 200)
    device.wait(99)
    device.submit("b-1", max_execution_time=1)
    assert device.running == []  # it might not end before, with the second that a slot takes more
    device.wait(1)
    device.submit("a-1", "c-1", "a-2")
    assert device.running == ["a-1"]
    device.end("a-1")
    assert device.running == ["a-2"]
    device.end("a-2", after=5)
    assert device.running == []
    device.wait(93)
    assert device.running == []
    device.wait(1)
    assert device.running == ["b-1"]


def test_times_of_a_window_that_name_no_zone_are_utc_wherever_that_is_read() -> None:
    made = reservation(100, 200)
    unsaid = replace(made, begin=made.begin.removesuffix("Z"), end=made.end.removesuffix("Z"))
    windows = Windows()
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    try:
        windows.put(unsaid)
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
        time.tzset()
    (found,) = windows
    assert (found.begin, found.end) == (START + 100, START + 200)


def test_a_window_of_a_session_is_for_its_jobs_alone() -> None:
    device = reserved(10, 100, session="a-s")
    device.wait(10)
    device.open("a-s", Mode.BATCH)
    device.submit("a-out", "b-1")
    device.submit("a-1", session="a-s")
    assert device.running == ["a-1"]
    device.end("a-1")
    assert device.running == []
    device.wait(90)
    assert device.running != []


def test_before_a_window_a_job_begins_that_ends_in_time_by_what_its_program_took() -> None:
    device = VirtualDevice()
    learn(device, 10)
    begin = device.now + 25
    device.windows.put(reservation(begin, begin + 50))
    device.submit("b-1", "b-2", "b-3")
    assert device.running == ["b-1"]
    device.end("b-1", after=10)
    assert device.running == ["b-2"]
    device.end("b-2", after=10)
    assert device.running == []  # five seconds are left
    device.submit("a-1")
    assert device.running == ["a-1"]  # its owner may run into it


def test_a_program_that_never_ran_there_has_to_say_how_long_it_takes() -> None:
    device = reserved(200, 400)
    device.submit("b-long")
    assert device.running == []
    device.submit("c-short", max_execution_time=100)
    assert device.running == ["c-short"]


def test_short_jobs_go_by_share_before_a_window_while_long_ones_wait() -> None:
    device = reserved(200, 400)
    device.submit(*(f"b-long-{n}" for n in range(3 * AT_ONCE)))
    device.submit("b-1", "b-2", "c-1", max_execution_time=60)
    assert device.running == ["b-1"]
    device.end("b-1", after=60)
    assert device.running == ["c-1"]
    device.submit("d-1", max_execution_time=60)
    device.end("c-1", after=60)
    assert device.running == ["d-1"]  # it has used nothing, and b has
    device.end("d-1", after=60)
    assert device.running == []
    device.windows.remove("r1")
    device.wait(1)
    assert device.running == ["b-long-0"]


def test_a_job_that_was_cancelled_or_has_gone_is_not_chosen_for_the_gap() -> None:
    device = reserved(200, 400)
    device.open("b-s", Mode.BATCH)
    device.submit("x-long")
    device.submit("b-1", "b-2", session="b-s", max_execution_time=20)
    assert device.running == ["b-1"]
    device.cancel("b-s")
    device.end("b-1", after=150)
    assert device.running == []
    device.wait(250)
    assert device.running == ["x-long"]


def test_a_window_goes_before_a_session_that_holds_the_device() -> None:
    device = VirtualDevice()
    device.open("b-s", interactive_ttl=60)
    learn(device, 10)
    begin = device.now + 25
    device.windows.put(reservation(begin, begin + 50))
    device.submit("b-1", "b-2", session="b-s")
    assert device.running == ["b-1"]
    device.end("b-1", after=10)
    device.submit("c-1")
    assert device.running == ["b-2"]
    device.submit("b-3", session="b-s")
    device.end("b-2", after=10)
    assert device.running == []
    device.wait(5)
    device.submit("a-1")
    assert device.running == ["a-1"]
    device.end("a-1", after=45)
    device.wait(5)
    assert device.running == ["b-3"]  # it waited, so it did not rest
    device.end("b-3")
    assert device.running == []


def test_the_owner_of_a_window_does_not_run_into_the_next_one_of_another() -> None:
    device = VirtualDevice()
    learn(device, 10)
    begin = device.now + 20
    device.windows.put(reservation(begin, begin + 20))
    device.windows.put(reservation(begin + 20, begin + 40, "r2", tenant="b"))
    device.wait(20)
    device.submit("b-1", "a-1", "a-2")
    assert device.running == ["a-1"]
    device.end("a-1", after=11)
    assert device.running == []
    device.wait(9)
    assert device.running == ["b-1"]


def test_reservations_that_overlap_are_found() -> None:
    known = Windows([reservation(100, 200)])

    assert overlapping(reservation(0, 100, "r2"), known) is None
    assert overlapping(reservation(200, 300, "r2"), known) is None
    assert overlapping(reservation(0, 300, "r2", backend="other"), known) is None
    for begin, end in ((0, 101), (199, 300), (120, 130), (0, 300)):
        found = overlapping(reservation(begin, end, "r2"), known)
        assert found is not None
        assert found.id == "r1"
    known.put(reservation(100, 200, cancelled="t"))
    assert overlapping(reservation(0, 300, "r2"), known) is None


@pytest.mark.parametrize("seed", range(3))
def test_a_device_works_whenever_somebody_may_go_and_nobody_runs_in_the_window_of_another(
    seed: int,
) -> None:
    rng = Random(seed)
    device = VirtualDevice()
    windows = [reservation(500 * n, 500 * n + 150, f"r{n}") for n in range(1, 5)]
    for each in windows:
        device.windows.put(each)
    limits: dict[str, int] = {}
    for number in range(150):
        name = f"{rng.choice('abcd')}-{number}"
        limits[name] = rng.choice([5, 20, 60, 300])
        device.submit(name, max_execution_time=limits[name])
    waiting = set(limits)
    while device.now < 2_600:
        waiting -= set(device.running)
        if not device.running:
            assert not [name for name in waiting if may_begin(device.now, name, limits[name])]
            device.wait(1)
            continue
        [name] = device.running
        assert may_begin(device.now, name, limits[name])
        device.end(name, after=rng.uniform(0.9, 1) * limits[name])
    assert len(waiting) < 140


def may_begin(at: float, name: str, limit: float) -> bool:
    """By one window of the tenant `a` every 500 s that lasts for 150, up to four."""
    into = at % 500
    if name[0] == "a" or at >= 2_150:
        return True
    if at >= 500 and into < 150:
        return False
    begin = 500 * (at // 500 + 1)
    return begin > 2_000 or at + limit + 1 <= begin


# Where jobs go that name no backend


@pytest.mark.parametrize(
    ("start", "seconds", "tenant", "begins"),
    [
        (0, 100, "b", 0),  # it ends as the window begins
        (0, 101, "b", 200),
        (0, 0, "b", 0),
        (100, 0, "b", 200),
        (199, 1, "b", 200),
        (200, 1000, "b", 1400),  # there is time for it only behind the last one
        (200, 50, "b", 200),
        (0, 101, "a", 0),
        (210, 200, "a", 1400),  # the second one is of another tenant
        (9000, 1, "b", 9000),
    ],
)
def test_a_job_begins_when_it_is_in_no_window_of_others_as_long_as_it_takes(
    start: float, seconds: float, tenant: str, begins: float
) -> None:
    windows = Windows([reservation(400, 1400, "r2", tenant="c"), reservation(100, 200)])
    assert windows.opens(DEVICE, START + start, seconds, tenant) == START + begins
    assert windows.opens("another", START + start, seconds, tenant) == START + start


def test_a_job_that_names_no_backend_goes_where_others_have_reserved_nothing() -> None:
    device = reserved(0, 3600)
    other = Heartbeat(worker="v", instance="i", slots=1, backends=("other",))
    device.turn().take(other)
    device.turn().take(replace(scripted_backend("other"), simulator=False))
    assert device.submit("z-busy", backend="other") is None

    def chosen(name: str) -> str | None:
        device.submit(name, backend=None)
        return device.book.jobs[JobKey(name[0], name)].backend

    assert [chosen("b-1"), chosen("b-2"), chosen("a-1")] == ["other", "other", DEVICE]
    device.windows.remove("r1")
    assert chosen("b-3") == DEVICE
