"""What a broker does in one turn is bounded, whatever it reads and however much waits."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broker.ledger.broker import Broker
from broker.transports.blobs import open_blobs
from broker.transports.memory import MemoryLog
from broker.transports.topics import EVENTS
from executors.scripted import scripted_backend
from schemas.cloudevents import CLAIM
from schemas.reports import Began
from schemas.specification import Findings, Program, Specification, Text
from tests.support.broker import (
    ALONE,
    HELLO,
    Hand,
    Side,
    hello_world,
    running,
    stored,
    system,
    until,
)

SLOW = 0.02  # s


class Slow(Program):
    """A program whose check of inputs is at work for a while."""

    def examine(self, data: Text, *, circuits: bool = True, hashed: bool = True) -> Findings:
        end = time.monotonic() + SLOW
        while time.monotonic() < end:
            pass
        return Findings()


class Pulse:
    """How long the loop stood still at most."""

    longest = 0.0

    async def run(self) -> None:
        seen = time.monotonic()
        while True:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            self.longest = max(self.longest, now - seen)
            seen = now


@asynccontextmanager
async def pulse() -> AsyncIterator[Pulse]:
    found = Pulse()
    task = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        task.cancel()


def count_of_claims(log: MemoryLog) -> int:
    return sum(record.header("ce_type") == CLAIM for record in stored(log, EVENTS))


async def test_requests_that_are_slow_to_check_keep_neither_the_loop_nor_reports_waiting() -> None:
    log = MemoryLog(1)
    slow = Slow(Specification("slow", "slow", 1.0))
    broker = Broker(log, open_blobs("memory:///"), [hello_world(), slow], options=ALONE)
    hand, qjb = Hand(log, slots=1), Side(log, broker._blobs)
    async with running(broker, hand):
        await qjb.submit("running")
        await hand.is_told("running")
        async with pulse() as felt:
            await qjb.submit(*(f"slow-{number}" for number in range(100)), program_id="slow")
            await qjb.submit("behind", priority=9)
            await until(lambda: qjb.kinds("slow-0"))
            await hand.report("running", Began(), HELLO)
            await qjb.ends("running")
            assert not qjb.kinds("slow-99")
            await qjb.reaches("behind", "queued")

        assert felt.longest < 100 * SLOW / 2
        assert count_of_claims(log) == 1


async def test_jobs_that_have_waited_for_any_backend_run_once_one_comes() -> None:
    log = MemoryLog(1)
    names = [f"j{number}" for number in range(2_000)]
    async with system(log=log) as qjb:
        await qjb.submit(*names)
        await qjb.reaches(names[-1], "queued")
        async with running(Hand(log, runs=True, slots=200)):
            await until(lambda: len(stored(log, EVENTS)) == 1 + 4 * len(names), 50)

        assert count_of_claims(log) == 1
    completed = [
        r.key for r in stored(log, EVENTS) if r.header("ce_type") == b"qjb.event.completed"
    ]
    assert len(set(completed)) == len(names)


async def test_many_backends_that_nobody_offers_keep_nobody_waiting() -> None:
    log = MemoryLog(1)
    async with system(log=log) as qjb:
        for number in range(2_000):
            await qjb.submit(f"j{number}", backend=f"nowhere-{number}")
        await qjb.submit("good")
        await qjb.reaches("good", "queued")
        async with running(Hand(log, runs=True, backends=(scripted_backend(),))), pulse() as felt:
            await qjb.ends("good")

        assert felt.longest < 1.0
