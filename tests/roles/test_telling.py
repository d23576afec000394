"""What was decided is told, and told again until it is done: whoever was lost before he could."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from broker.transports.memory import Fault, Hang, LoseAcknowledgement, LoseSilently, MemoryLog
from broker.transports.topics import EVENTS, INBOX
from schemas.reports import Began, Stopped
from schemas.values import Reason
from tests.roles.test_broker_takeover import RAN, Wire, claims, kill
from tests.support.broker import (
    HELLO,
    Hand,
    Side,
    a_broker,
    check_histories,
    running,
    system,
    until,
)

STOPPED = Stopped(Reason.USER_REQUEST)


@asynccontextmanager
async def a_broker_to_be_killed(log: MemoryLog) -> AsyncIterator[Side]:
    """A broker that is active while the block runs, and then killed as it stands."""
    wire = Wire(log)
    broker = a_broker(wire)  # type: ignore[arg-type]
    async with running(broker) as tasks:
        await until(broker.active.is_set)
        yield Side(log, broker.means.blobs)
        await kill(tasks[0], wire)


def no_instructions() -> Hang:
    """From now on what a broker tells waits, and dies with it."""
    return Hang(INBOX, reads=False)


async def a_running_job(qjb: Side, hand: Hand) -> None:
    await qjb.submit("j1")
    await hand.is_told("j1")
    await hand.report("j1", Began())
    await qjb.reaches("j1", "started")


async def test_a_cancel_whose_broker_was_killed_before_it_told_it_is_told_by_the_next() -> None:
    log = MemoryLog()
    hand = Hand(log)
    async with running(hand):
        async with a_broker_to_be_killed(log) as qjb:
            await a_running_job(qjb, hand)
            log.start(stalled := no_instructions())
            await qjb.cancel("j1")
            await qjb.reaches("j1", "cancel_requested")
        log.lift(stalled)
        assert not hand.cancels("j1")
        async with system(log=log) as qjb:
            await until(lambda: hand.cancels("j1"))
            await hand.report("j1", STOPPED)
            last = (await qjb.ends("j1"))[-1]

    assert (last.kind, last.reason) == ("cancelled", "user_request")


@pytest.mark.parametrize("fault", [LoseSilently, LoseAcknowledgement])
async def test_a_cancel_reaches_the_worker_whatever_became_of_its_event(
    fault: Callable[..., Fault],
) -> None:
    hand = Hand(MemoryLog())
    async with system(hand) as qjb:
        await a_running_job(qjb, hand)
        stalled = no_instructions()
        qjb.log.start(stalled)
        with qjb.log.fault(fault(EVENTS, times=1)) as lost:
            await qjb.cancel("j1")
            await until(lambda: lost.hits)  # and the broker steps down
            await until(lambda: len(claims(qjb.log)[0]) == 2)
            qjb.log.lift(stalled)
            await until(lambda: hand.cancels("j1"))
            await hand.report("j1", STOPPED)
        assert (await qjb.ends("j1"))[-1].kind == "cancelled"


async def test_an_attempt_whose_broker_was_killed_before_it_told_it_is_told_by_the_next() -> None:
    log = MemoryLog()
    hand = Hand(log, runs=True)
    async with running(hand):
        async with a_broker_to_be_killed(log) as qjb:
            await qjb.submit("before")
            await qjb.ends("before")
            log.start(stalled := no_instructions())
            await qjb.submit("j1")
            await qjb.reaches("j1", "dispatched")
        log.lift(stalled)
        async with system(log=log) as qjb:
            await qjb.submit("after")  # told by the next broker, and so with a higher epoch
            await qjb.ends("after")
            assert [event.kind for event in await qjb.ends("j1")] == RAN

    check_histories(log)


async def test_an_attempt_that_was_never_told_is_told_however_many_brokers_are_killed() -> None:
    log = MemoryLog()
    hand = Hand(log, runs=True)
    async with running(hand):
        log.start(stalled := no_instructions())
        for number in range(4):
            async with a_broker_to_be_killed(log) as qjb:
                if not number:
                    await qjb.submit("j1")
                await qjb.reaches("j1", "dispatched")
                await hand.beat()
        log.lift(stalled)
        async with system(log=log) as qjb:
            assert [event.kind for event in await qjb.ends("j1")] == RAN


async def test_that_an_attempt_is_void_is_told_by_the_next_broker_too() -> None:
    log = MemoryLog()
    silent, other = Hand(log, "silent"), Hand(log, "other", slots=0, runs=True)
    async with running(silent, other):
        async with a_broker_to_be_killed(log) as qjb:
            await a_running_job(qjb, silent)
            silent.deaf, other.slots = True, 1
            await qjb.ends("j1")
        silent.deaf = False
        async with system(log=log):
            await until(lambda: silent.cancels("j1"))
            await silent.report("j1", HELLO)

    assert silent.cancels("j1")[0].reason == "worker_lost"
    check_histories(log)
