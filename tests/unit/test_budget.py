"""Memory as one budget."""

import asyncio
import gc

import pytest
from prometheus_client import REGISTRY

from broker.budget import Lately, Room
from broker.errors import UnavailableError
from tests.support.awaiting import steps


def _told(holder: str) -> float | None:
    return REGISTRY.get_sample_value("qjb_memory_held_bytes", {"holder": holder})


def test_what_does_not_fit_is_refused_and_what_is_given_back_can_be_taken() -> None:
    room = Room("test", 100, "the test is full")
    with room.share() as share:
        share.take(60)
        with pytest.raises(UnavailableError, match="the test is full; try again"):
            share.take(41)
        share.take(40)
        assert room.held == 100
    room.take(100)


async def test_who_waits_for_room_gets_it_when_it_is_free() -> None:
    room = Room("test", 100)
    room.take(100)
    waiting = asyncio.create_task(room.await_free(50, 10))
    await steps()
    assert not waiting.done()
    room.give_back(50)
    await waiting
    with pytest.raises(UnavailableError):
        await room.await_free(51, 0.01)


def test_the_gauge_says_what_all_of_a_kind_hold_as_long_as_they_are_there() -> None:
    one, other = Room("told", 100), Room("told", 100)
    one.hold(30)
    other.hold(120)
    assert other.is_over
    assert _told("told") == 150
    del other
    gc.collect()
    assert _told("told") == 30


def test_the_oldest_answers_leave_when_the_newest_need_the_room() -> None:
    room = Room("test", 100)
    lately: Lately[str, bytes | None] = Lately(room, lambda value: len(value or b"."))
    for name in "abc":
        lately[name] = bytes(40)
    assert [name for name in "abc" if name in lately] == ["b", "c"]
    lately["b"] = None
    assert room.held == 41
    assert lately["b"] is None
    lately["d"] = bytes(1000)  # too large for any room
    assert room.held == 0
    lately["e"] = bytes(10)
    lately.clear()
    assert room.held == 0
