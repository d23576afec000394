"""Dedicated sessions hold a device, and batches keep their jobs together there."""

import pytest

from broker.core.book import Book
from broker.core.holds import TOGETHER
from broker.core.open_sessions import session_of
from schemas.sessions import Mode
from schemas.values import JobKey
from tests.support.virtual import DEVICE, VirtualDevice


def test_a_dedicated_session_has_the_device_from_its_first_job_on() -> None:
    device = VirtualDevice()
    device.open("a-s")
    device.submit("b-1", "b-2")
    device.submit("a-1", "a-2", session="a-s")
    assert device.running == ["b-1"]

    device.end("b-1")
    assert device.running == ["a-1"]  # by its share: its turn is not taken from anybody
    device.submit("c-1")
    device.end("a-1")
    assert device.running == ["a-2"]
    device.end("a-2")
    assert device.running == []  # though others wait

    device.submit("a-3", session="a-s")
    assert device.running == ["a-3"]


def test_who_waits_for_a_session_is_told_so_and_its_own_jobs_come_first() -> None:
    device = VirtualDevice()
    device.open("a-s")
    device.submit("a-1", session="a-s")
    device.submit("b-1", "a-out")
    device.submit("a-2", session="a-s")

    told = device.queue()
    waiting = {name: device.book.jobs[JobKey(name[0], name)] for name in ("b-1", "a-out", "a-2")}
    held = [name for name, job in waiting.items() if str(session_of(job)) not in told.sessions]
    assert held == ["b-1", "a-out"]
    assert told.waiting[0] == "a/a-2"
    assert set(told.waiting) == {"a/a-2", "b/b-1", "a/a-out"}


def test_a_session_that_rests_lets_others_go_and_its_next_job_waits_for_its_turn() -> None:
    device = VirtualDevice()
    device.open("a-s", interactive_ttl=60)
    device.submit("a-1", session="a-s")
    device.submit("b-1")
    device.end("a-1")
    device.wait(59)
    assert device.running == []

    device.wait(2)
    assert device.running == ["b-1"]
    device.submit("a-2", session="a-s")
    device.submit("b-2")
    device.end("b-1")
    assert device.running == ["a-2"]
    device.end("a-2")
    assert device.running == []  # it holds the device again


def test_two_sessions_hold_the_device_one_after_the_other() -> None:
    device = VirtualDevice(slots=2)
    device.open("a-s", interactive_ttl=10)
    device.open("b-s", interactive_ttl=10)
    device.submit("a-1", session="a-s")
    device.submit("b-1", session="b-s")
    device.submit("a-2", session="a-s")
    assert device.running == ["a-1", "a-2"]

    device.end("a-1")
    device.end("a-2")
    device.submit("b-2", session="b-s")
    assert device.running == []
    device.wait(11)
    assert device.running == ["b-1", "b-2"]


@pytest.mark.parametrize("end", ["close", "cancel", "time"])
def test_a_session_holds_the_device_no_longer_than_it_lives(end: str) -> None:
    device = VirtualDevice()
    device.open("a-s", max_ttl=100)
    device.submit("a-1", "a-2", session="a-s")
    device.submit("b-1")
    if end == "close":
        device.close("a-s")
        assert device.run_all() == ["a-1", "a-2", "b-1"]  # what it has still runs, at once
        return
    if end == "cancel":
        device.cancel("a-s")
    else:
        device.wait(101)
    device.end("a-1")
    assert device.running == ["b-1"]


def test_a_simulator_is_held_by_nobody() -> None:
    device = VirtualDevice(slots=2, is_device=False)
    device.open("a-s")
    device.submit("a-1", session="a-s")
    device.submit("b-1", "b-2")
    assert device.running == ["a-1", "b-1"]
    device.end("a-1")
    assert device.running == ["b-1", "b-2"]
    assert device.queue().sessions == ()


def test_jobs_of_a_batch_go_one_after_the_other_for_a_while() -> None:
    device = VirtualDevice()
    device.open("a-batch", Mode.BATCH, interactive_ttl=1)
    device.submit("b-1", "b-2", "c-1")
    device.submit("a-1", "a-2", "a-3", session="a-batch")
    device.end("b-1")
    device.end("c-1")
    assert device.running == ["a-1"]
    device.submit("urgent-1", priority=1)
    assert device.queue().waiting[0] == "a/a-2"
    device.end("a-1")
    assert device.running == ["urgent-1"]  # a higher priority goes first all the same
    device.end("urgent-1")
    assert device.running == ["a-2"]
    device.wait(TOGETHER)
    device.end("a-2")
    assert device.running == ["b-2"]


def test_nobody_waits_behind_a_batch_for_longer_than_a_while_and_a_job() -> None:
    device = VirtualDevice()
    device.open("a-batch", Mode.BATCH)
    device.submit(*(f"a-{n}" for n in range(1_000)), session="a-batch")
    device.submit(*(f"b-{n}" for n in range(1_000)))
    begun, latest = {"a": 0.0, "b": 0.0}, {"a": 0.0, "b": 0.0}
    while device.now < 20 * TOGETHER:
        [name] = device.running
        tenant = name[0]
        latest[tenant] = max(latest[tenant], device.now - begun[tenant])
        device.end(name, after=7)
        begun[tenant] = device.now

    assert latest["b"] <= TOGETHER + 2 * 7
    assert latest["a"] <= TOGETHER + 2 * 7  # it has had its share, and waits for the others'
    assert len(device.book.queues) < 2_000


def test_who_takes_over_from_snapshots_knows_who_holds_the_device() -> None:
    device = VirtualDevice()
    device.open("a-s")
    device.submit("a-1", session="a-s")
    device.submit("b-1")
    device.submit("a-2", session="a-s")
    before, device.book = device.book, Book(10)
    for session in before.sessions:
        if (found := before.sessions.get(session)) is not None:
            device.book.sessions.restore(found)
    for job in before.jobs.values():
        device.book.restore(job)
    device.book.sessions.date_all(device.roster.clock, device.time)
    device.end("a-1")
    assert device.running == ["a-2"]
    device.end("a-2")
    assert device.running == []


def test_a_device_that_a_new_broker_has_not_heard_announced_is_held_all_the_same() -> None:
    device = VirtualDevice()
    device.open("a-s")
    device.submit("a-1", session="a-s")
    device.submit("b-1")
    device.roster.backends.drop(DEVICE)
    device.end("a-1")
    assert device.running == []
    device.submit("a-2", session="a-s")
    assert device.running == ["a-2"]
