"""What a broker does in one turn is bounded, whatever it reads and however much waits."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec

from broker.ledger.broker import Broker
from broker.telemetry import times
from broker.transports.blobs import open_blobs
from broker.transports.memory import LoseSilently, MemoryLog
from broker.transports.topics import EVENTS, REQUESTS, STATE
from executors.scripted import scripted_backend
from schemas.cloudevents import decode, request_record
from schemas.events import Rejected
from schemas.ledger import Checkpoint
from schemas.ledger_records import CLAIM
from schemas.records import Record
from schemas.reports import Began
from schemas.requests import SubmitJob
from schemas.specification import Findings, Program, Specification, Text
from schemas.state_records import CHECKPOINT_KEY
from tests.support.broker import (
    ALONE,
    HELLO,
    Hand,
    Side,
    check_histories,
    hello_world,
    running,
    stored,
    system,
    until,
)
from tests.support.sampling import gaps

SLOW = 0.02  # s


class Slow(Program):
    """A program whose check of inputs is at work for a while."""

    def examine(self, data: Text, *, circuits: bool = True, hashed: bool = True) -> Findings:
        end = time.monotonic() + SLOW
        while time.monotonic() < end:
            pass
        return Findings()


def count_of_claims(log: MemoryLog) -> int:
    return sum(record.header("ce_type") == CLAIM for record in stored(log, EVENTS))


async def test_requests_that_are_slow_to_check_keep_neither_the_loop_nor_reports_waiting() -> None:
    log = MemoryLog(1)
    slow = Slow(Specification("slow", "slow", 1.0))
    broker = Broker(log, open_blobs("memory:///"), [hello_world(), slow], options=ALONE)
    hand, qjb = Hand(log, slots=1), Side(log, broker.means.blobs)
    async with running(broker, hand):
        await qjb.submit("running")
        await hand.is_told("running")
        async with gaps() as felt:
            await qjb.submit(*(f"slow-{number}" for number in range(100)), program_id="slow")
            await qjb.submit("behind", priority=9)
            await until(lambda: qjb.kinds("slow-0"))
            await hand.report("running", Began(), HELLO)
            await qjb.ends("running")
            assert not qjb.kinds("slow-99")
            await qjb.reaches("behind", "queued")

        assert max(felt) < 100 * SLOW / 2
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
        async with running(Hand(log, runs=True, backends=(scripted_backend(),))), gaps() as felt:
            await qjb.ends("good")

        assert max(felt) < 1.0


class Sleeper(Program):
    """A program whose check of some inputs puts the broker to sleep."""

    def examine(self, data: Text, *, circuits: bool = True, hashed: bool = True) -> Findings:
        if b"poison" in data:
            time.sleep(0.5)
        return super().examine(data, circuits=circuits, hashed=hashed)


POISON = msgspec.Raw(b'{"poison":1}')


@asynccontextmanager
async def sleepy(log: MemoryLog) -> AsyncIterator[tuple[Side, Broker]]:
    sleeper = Sleeper(Specification("sleeper", "sleeper", 1.0))
    options = replace(ALONE, stall=0.4)
    broker = Broker(log, open_blobs("memory:///"), [hello_world(), sleeper], options=options)
    async with running(broker, Hand(log, runs=True, slots=10)):
        await broker.active.wait()
        yield Side(log, broker.means.blobs), broker


async def test_an_input_at_which_brokers_are_lost_is_put_aside_and_those_behind_it_run() -> None:
    log = MemoryLog(1)
    async with sleepy(log) as (qjb, _):
        bad = request_record(SubmitJob("sleeper", POISON, job_id="bad"), times.now())
        foreign = Record(b'{"program_id":"sleeper","job_id":"foreign","params":{"poison":1}}')
        good = [
            request_record(SubmitJob("hello-world", job_id=f"j{number}"), times.now())
            for number in range(200)
        ]
        await log.append(REQUESTS, [*good[:100], bad, *good[100:150], foreign, *good[150:]])
        for number in range(200):
            await qjb.ends(f"j{number}")
        [rejected] = await qjb.ends("bad")
        assert isinstance(rejected, Rejected)
        assert rejected.reason == "broker_lost"
        await until(qjb.letters)
        [letter] = qjb.letters()

    assert letter.header("qjb-code") == b"broker_lost"
    assert letter.value == foreign.value
    assert all(h[-1].event.kind != "failed" for h in check_histories(log).values())


async def test_what_was_tried_is_on_the_log_until_it_has_led_to_something() -> None:
    log = MemoryLog(1)
    async with sleepy(log) as (qjb, _):
        await qjb.submit("bad", program_id="sleeper", params=POISON)
        await until(lambda: newest_checkpoint(log).tried)
        assert newest_checkpoint(log).serving
        await qjb.ends("bad")
        await until(lambda: not newest_checkpoint(log).tried)

    assert not newest_checkpoint(log).serving


class LoseButClaims(LoseSilently):
    """Loses what a broker appends first in each of its terms, after the claim."""

    def applies(self, topic: str) -> bool:
        if topic == EVENTS:
            self.skip = 0 if self.skip else 1
        return super().applies(topic) if topic == EVENTS and not self.skip else False


async def test_a_log_that_fails_again_and_again_puts_no_input_aside() -> None:
    log = MemoryLog(1)
    async with system(Hand(log, runs=True), log=log) as qjb:
        with log.fault(LoseButClaims(EVENTS, skip=1, times=5)) as lost:
            await qjb.submit("j1")
            await until(lambda: lost.hits == 5)
        assert [event.kind for event in await qjb.ends("j1")][-1] == "completed"

    assert count_of_claims(log) == 6
    assert not qjb.letters()


def newest_checkpoint(log: MemoryLog) -> Checkpoint:
    found = [record for record in stored(log, STATE) if record.key == CHECKPOINT_KEY]
    return decode(found[-1].value, Checkpoint)
