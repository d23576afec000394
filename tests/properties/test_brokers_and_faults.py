"""Real brokers on a memory log, with faults at random: each job still ends once, and last."""

import asyncio
import random
from dataclasses import replace

import pytest

from broker.transports.blobs import open_blobs
from broker.transports.memory import (
    Delay,
    Duplicate,
    Fault,
    LoseAcknowledgement,
    LoseAppend,
    LoseSilently,
    MemoryLog,
)
from broker.transports.topics import EVENTS, INBOX, STATE, STATUS
from tests.support.awaiting import eventually
from tests.support.broker import QUICK, Hand, Side, a_broker, check_histories, running

JOBS = 40
FAULTS = (LoseAppend, LoseSilently, LoseAcknowledgement, Duplicate)


def a_fault(chance: random.Random) -> Fault:
    topic = chance.choice((EVENTS, EVENTS, STATE, INBOX, STATUS))
    if chance.random() < 0.3:
        return Delay(chance.uniform(0.01, 0.3), topic, times=chance.randint(1, 5))
    return chance.choice(FAULTS)(topic, skip=chance.randint(0, 3), times=chance.randint(1, 2))


async def trouble(log: MemoryLog, chance: random.Random, hands: list[Hand]) -> None:
    """Faults, and workers that go deaf for a while."""
    while True:
        await asyncio.sleep(chance.uniform(0.02, 0.1))
        log.start(a_fault(chance))
        hand = chance.choice(hands)
        hand.deaf = chance.random() < 0.3


async def brokers_that_come_and_go(
    log: MemoryLog, side: Side, chance: random.Random, until_done: asyncio.Event
) -> None:
    """Two at a time; now and then one is cut off or told to stop, and another begins."""
    brokers = [a_broker(log, side.blobs, QUICK) for _ in range(2)]
    tasks = [asyncio.create_task(broker.run()) for broker in brokers]
    try:
        while not until_done.is_set():
            await asyncio.sleep(chance.uniform(0.2, 0.6))
            which = chance.randrange(2)
            if chance.random() < 0.5:
                brokers[which].stop()
            else:
                tasks[which].cancel()
            await asyncio.gather(tasks[which], return_exceptions=True)
            brokers[which] = a_broker(log, side.blobs, QUICK)
            tasks[which] = asyncio.create_task(brokers[which].run())
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ask(side: Side, chance: random.Random) -> None:
    for number in range(JOBS):
        await side.submit(f"j{number}")
        if chance.random() < 0.2:
            await side.submit(f"j{chance.randint(0, number)}")
        if chance.random() < 0.2:
            await side.cancel(f"j{chance.randint(0, number)}")
        await asyncio.sleep(chance.uniform(0, 0.05))


def seqs(side: Side) -> dict[str, int]:
    """Of each job the newest event that a snapshot has."""
    return {key: job.seq for key, job in side.snapshots().items()}


def lengths(log: MemoryLog) -> dict[str, int]:
    """Of each job the newest event on the ledger."""
    return {str(key): events[-1].event.seq for key, events in check_histories(log).items()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_each_job_ends_once_whatever_happens(seed: int) -> None:
    chance = random.Random(seed)
    log = MemoryLog(2)
    side = Side(log, open_blobs("memory:///"))
    hands = [Hand(log, f"w{n}", runs=True, instance=f"i{n}") for n in range(2)]
    done = asyncio.Event()
    async with running(*hands):
        going = asyncio.create_task(brokers_that_come_and_go(log, side, chance, done))
        troubled = asyncio.create_task(trouble(log, chance, hands))
        await ask(side, chance)
        await asyncio.sleep(1.0)
        troubled.cancel()
        done.set()
        await going
        log.faults.clear()
        for hand in hands:
            hand.deaf = False
        async with running(a_broker(log, side.blobs, replace(QUICK, lease=0.3))):
            for number in range(JOBS):
                await side.ends(f"j{number}", within=20)
            await eventually(lambda: seqs(side) == lengths(log))

    histories = check_histories(log)
    assert {key.job_id for key in histories} == {f"j{n}" for n in range(JOBS)}
    assert seqs(side) == lengths(log)
