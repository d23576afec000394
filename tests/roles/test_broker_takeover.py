"""Brokers that come and go: claims, standby, recovery, zombies, and what a log does to them."""

import asyncio
import time
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from broker.ledger import heard
from broker.ledger.broker import Broker
from broker.telemetry import times
from broker.transports.log import Position, TopicPartition
from broker.transports.memory import (
    Delay,
    Duplicate,
    Fault,
    Hang,
    LoseAcknowledgement,
    LoseAppend,
    LoseSilently,
    MemoryLog,
)
from broker.transports.tails import TailFollower
from broker.transports.topics import EVENTS, INBOX, REPORTS, REQUESTS, STATE, STATUS
from executors.scripted import scripted_backend
from schemas.cloudevents import decode, status_record
from schemas.ledger import Checkpoint, Claim
from schemas.ledger_records import claim_record, read_ledger
from schemas.records import Record, Stored
from schemas.reports import Began, Published
from schemas.state_records import snapshot_record
from schemas.values import State
from tests.support.awaiting import eventually, stays, steps
from tests.support.broker import (
    ALONE,
    HELLO,
    QUICK,
    Hand,
    Side,
    a_broker,
    check_histories,
    ledger,
    running,
    stored,
    system,
    until,
)

RAN = ["queued", "dispatched", "started", "completed"]


class Wire:
    """A log as one process sees it. What it appends can be held back, and cut off."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.cut = False
        self.held: list[asyncio.Task[list[Position]]] = []
        self.holds_of: set[str] = set()  # the topics that they are for
        self.holding = asyncio.Event()
        self.holding.set()
        self.deaf = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def follow(self, starts: Mapping[TopicPartition, int]) -> "Ear":
        return Ear(self, self._log.follow(starts))

    async def append(self, topic: str, records: Sequence[Record]) -> list[Position]:
        if self.cut:
            await asyncio.Event().wait()
        if self.holding.is_set():
            return await self._log.append(topic, records)
        self.holds_of.add(topic)
        self.held.append(asyncio.create_task(self._append_later(topic, records)))
        return await asyncio.shield(self.held[-1])

    async def _append_later(self, topic: str, records: Sequence[Record]) -> list[Position]:
        """On its way even if nobody waits for it any more."""
        await self.holding.wait()
        return await self._log.append(topic, records)


class Ear:
    """A follower that brings nothing while its wire is deaf."""

    def __init__(self, wire: Wire, follower: TailFollower) -> None:
        self._wire = wire
        self._follower = follower

    def __getattr__(self, name: str) -> Any:
        return getattr(self._follower, name)

    async def next(self, wait: float) -> Sequence[Stored]:
        records = await self._follower.next(wait)
        await eventually(lambda: not self._wire.deaf)
        return records


async def kill(task: "asyncio.Task[None]", wire: Wire) -> None:
    """End a broker as a kill would: nothing more of it reaches the log."""
    wire.cut = True
    task.cancel()
    task.cancel()
    for _ in range(20):
        await steps()
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def claims(log: MemoryLog) -> dict[int, list[Claim]]:
    found: dict[int, list[Claim]] = {}
    for record in stored(log, EVENTS):
        entry = read_ledger(record)
        if isinstance(entry, Claim):
            found.setdefault(record.partition, []).append(entry)
    return found


def side(log: MemoryLog, broker: Broker) -> Side:
    return Side(log, broker.means.blobs)


async def test_a_broker_on_a_new_log_claims_every_partition_with_epoch_one() -> None:
    log = MemoryLog()
    async with system(log=log):
        assert {p: [c.epoch for c in found] for p, found in claims(log).items()} == {
            p: [1] for p in range(log.partitions(EVENTS))
        }


async def test_of_two_that_start_together_one_is_active_and_stays_so() -> None:
    log = MemoryLog()
    brokers = [a_broker(log, options=QUICK) for _ in range(2)]
    async with running(*brokers, Hand(log, runs=True)):
        await until(lambda: any(broker.active.is_set() for broker in brokers))
        await side(log, brokers[0]).submit("j1")
        await side(log, brokers[0]).ends("j1")
        await stays(lambda: sum(broker.active.is_set() for broker in brokers) == 1, 0.5)
        # Of two claims of one epoch the first counts.
        holders = {
            max(found, key=lambda claim: claim.epoch).broker for found in claims(log).values()
        }
        assert holders == {b.identity for b in brokers if b.active.is_set()}


async def test_a_standby_takes_over_from_one_that_was_killed() -> None:
    log = MemoryLog()
    hand = Hand(log)
    wire = Wire(log)
    first = a_broker(wire, options=QUICK)
    async with running(first, hand) as tasks:
        await first.active.wait()
        qjb = side(log, first)
        await qjb.submit("j1", "j2", "waits")
        await until(lambda: len(hand.dispatches) == 2)
        second = a_broker(log, first.means.blobs, QUICK)
        async with running(second):
            await stays(lambda: not second.active.is_set(), 0.05)
            await kill(tasks[0], wire)
            hand.runs = True
            for job_id in list(hand.dispatches):
                await hand.report(job_id, Began(), HELLO)
            for job_id in ("j1", "j2", "waits"):
                assert [e.kind for e in await qjb.ends(job_id)] == RAN
            assert second.active.is_set()
    check_histories(log)


def stands_by(said: Sequence[MutableMapping[str, Any]]) -> bool:
    return any(line["event"] == "broker.stands_by" for line in said)


async def test_a_standby_takes_over_at_once_from_one_that_retires() -> None:
    log = MemoryLog()
    slow = replace(QUICK, lease=60.0)
    first, second = a_broker(log, options=slow), a_broker(log, options=slow)
    async with running(first):
        await first.active.wait()
        with capture_logs() as said:
            async with running(second):
                await until(lambda: stands_by(said))
                first.stop()
                await asyncio.wait_for(second.active.wait(), 20)


async def test_a_stalled_log_makes_no_standby_claim() -> None:
    log = MemoryLog()
    first, second = a_broker(log, options=QUICK), a_broker(log, options=QUICK)
    async with running(first):
        await first.active.wait()
        with capture_logs() as said:
            async with running(second):
                await until(lambda: stands_by(said))
                with log.fault(Hang(STATUS)):
                    await stays(lambda: not second.active.is_set(), 1.0)
                await stays(lambda: first.active.is_set(), 0.1)
                assert not second.active.is_set()


@pytest.mark.parametrize("partitions", [1, 4])
async def test_a_new_broker_finds_everything_as_it_was(partitions: int) -> None:
    log = MemoryLog(partitions)
    hand = Hand(log, slots=2)
    async with system(hand) as qjb:
        await qjb.submit("ended")
        await hand.is_told("ended")
        await hand.report("ended", HELLO)
        await qjb.ends("ended")
        await qjb.submit("running", "cancelling")
        for job_id in ("running", "cancelling"):
            await hand.is_told(job_id)
        await hand.report("running", Began(), Published(msgspec.Raw(b"1")))
        await qjb.reaches("running", "interim")
        for number in range(5):
            await qjb.submit(f"waits{number}")
            await qjb.reaches(f"waits{number}", "queued")
        await qjb.submit("urgent", priority=1)
        await qjb.cancel("cancelling")
        await qjb.reaches("cancelling", "cancel_requested")
        await qjb.reaches("urgent", "queued")
    before = {job_id: qjb.events(job_id) for job_id in ("ended", "running", "cancelling")}

    again = Hand(log, runs=True, slots=1)
    again.dispatches, again.running = hand.dispatches, hand.running
    async with system(again) as qjb:
        for job_id, events in before.items():
            assert qjb.events(job_id) == events
        await again.report("running", HELLO)
        await again.report("cancelling", HELLO)
        for number in range(5):
            await qjb.ends(f"waits{number}")
        order = [job_id for job_id in again.dispatches if job_id.startswith(("waits", "urgent"))]

    assert order == ["urgent", *(f"waits{number}" for number in range(5))]
    check_histories(log)


async def test_recovery_needs_no_snapshot() -> None:
    log = MemoryLog()
    hand = Hand(log)
    broker = a_broker(log)
    async with running(broker, hand) as tasks:
        await broker.active.wait()
        qjb = side(log, broker)
        with log.fault(Hang(STATE, reads=False)):
            await qjb.submit("j1", "j2")
            await hand.is_told("j1")
            await hand.report("j1", HELLO)
            await qjb.ends("j1")
            tasks[0].cancel()
            await steps(10)
            tasks[0].cancel()
            await asyncio.gather(tasks[0], return_exceptions=True)
    assert not [r for r in stored(log, STATE) if r.key == b"default/j1"]
    again = Hand(log, runs=True)
    again.dispatches, again.running = hand.dispatches, hand.running
    async with system(again) as qjb:
        await again.report("j2", HELLO)
        await qjb.ends("j2")
        await until(lambda: [job.terminal for job in qjb.snapshots().values()] == [True, True])


async def test_recovery_needs_no_ledger_before_the_checkpoint() -> None:
    log = MemoryLog()
    async with system(Hand(log, slots=0)) as qjb:
        await qjb.submit("j1")
        await qjb.reaches("j1", "queued")
        await until(lambda: "default/j1" in qjb.snapshots())
    for partition in range(log.partitions(EVENTS)):
        tail = log.tails[TopicPartition(EVENTS, partition)]
        tail.replace([], tail.next)
    hand = Hand(log, runs=True)
    async with system(hand) as qjb:
        await until(lambda: qjb.snapshots()["default/j1"].terminal)

    assert qjb.snapshots()["default/j1"].seq == 4


async def test_a_checkpoint_reaches_to_the_end_when_the_broker_stops() -> None:
    log = MemoryLog()
    async with system(Hand(log, runs=True)) as qjb:
        await qjb.submit(*(f"j{n}" for n in range(20)))
        for n in range(20):
            await qjb.ends(f"j{n}")
    letters = [r for r in stored(log, STATE) if r.key == b"~checkpoint"]
    last = decode(letters[-1].value, Checkpoint)

    for partition in range(log.partitions(EVENTS)):
        assert last.ledger[partition] == (await log.bounds(EVENTS, partition)).next
    for topic in (REQUESTS, REPORTS):
        for partition in range(log.partitions(topic)):
            reached = last.inputs[f"{topic}:{partition}"]
            assert reached == (await log.bounds(topic, partition)).next


async def test_inputs_that_are_read_again_change_nothing() -> None:
    log = MemoryLog()
    hand = Hand(log)
    async with system(hand) as qjb:
        await qjb.submit("j1", "j2")
        await qjb.raw(b'{"program_id":"hello-world"}')
        await qjb.raw(b'{"program_id":"nonsense"}')
        await hand.is_told("j1")
        await hand.report("j1", Began(), Published(msgspec.Raw(b"1")), HELLO)
        await qjb.ends("j1")
        await until(lambda: len(hand.dispatches) == 3)
        await until(lambda: len(ledger(log)) == 4)
        before = {key: [e.event for e in history] for key, history in ledger(log).items()}
    for where, tail in log.tails.items():
        if where.topic == STATE:  # as if no checkpoint had ever been written
            tail.replace([r for r in tail.all() if r.key != b"~checkpoint"], tail.start)

    again = Hand(log, slots=0)
    again.running = hand.running
    async with system(again, log=log) as qjb:
        await qjb.submit("last")
        await qjb.reaches("last", "queued")

        def is_as_it_was() -> bool:
            after = {key: [e.event for e in history] for key, history in ledger(log).items()}
            for key, events in before.items():
                assert after[key][: len(events)] == events
                assert not [e for e in after[key][len(events) :] if e.kind != "dispatched"]
            return True

        await stays(is_as_it_was, 0.1)


@pytest.mark.parametrize("fault", [LoseSilently, LoseAcknowledgement])
@pytest.mark.parametrize("skip", [0, 1, 2, 3])
async def test_after_an_append_of_unknown_outcome_a_broker_reads_again_and_goes_on(
    fault: type[Fault], skip: int
) -> None:
    hand = Hand(MemoryLog(), runs=True)
    async with system(hand) as qjb:
        with qjb.log.fault(fault(EVENTS, skip=skip, times=1)) as lost:
            for number in range(6):
                await qjb.submit(f"j{number}")
                await qjb.ends(f"j{number}")
            assert lost.hits == 1

        assert max(c.epoch for c in claims(qjb.log)[0]) == 2
        check_histories(qjb.log)


async def test_records_that_were_stored_twice_count_once() -> None:
    hand = Hand(MemoryLog(), runs=True)
    async with system(hand) as qjb:
        with qjb.log.fault(Duplicate()):
            await qjb.submit(*(f"j{n}" for n in range(10)))
            for n in range(10):
                assert [e.kind for e in await qjb.ends(f"j{n}")] == RAN


async def test_a_broker_whose_loop_stood_still_steps_down_before_it_writes() -> None:
    log = MemoryLog()
    broker = a_broker(log, options=replace(ALONE, stall=1.0))
    async with running(broker, Hand(log, runs=True)):
        await broker.active.wait()
        await side(log, broker).submit("j1")
        await steps()
        time.sleep(1.2)  # noqa: ASYNC251 -- it is to stand still
        await side(log, broker).ends("j1")

        assert claims(log)[0][-1].epoch == 2
        assert [e.event.kind for h in check_histories(log).values() for e in h] == RAN


@pytest.mark.parametrize("claimed", [False, True])
async def test_a_broker_that_was_busy_for_long_goes_on_unless_another_one_has_claimed(
    claimed: bool,
) -> None:
    log = MemoryLog()
    broker = a_broker(log, options=replace(ALONE, stall=0.5))
    async with running(broker, Hand(log, runs=True)):
        await broker.active.wait()
        await side(log, broker).submit("j1")
        await steps()
        if claimed:
            await log.append(EVENTS, [claim_record(Claim(2, "other"), p, "t") for p in range(4)])
        until_then = time.monotonic() + 0.55
        while time.monotonic() < until_then:
            pass
        await side(log, broker).ends("j1")

        epochs = [claim.epoch for claim in claims(log)[0]]
        assert epochs == ([1, 2, 3] if claimed else [1])
        assert [e.event.kind for h in check_histories(log).values() for e in h] == RAN


async def test_what_a_lost_broker_still_writes_is_ignored_and_its_snapshots_are_mended() -> None:
    log = MemoryLog()
    hand = Hand(log)
    wire = Wire(log)
    zombie = a_broker(wire, options=QUICK)
    async with running(zombie, hand):
        await zombie.active.wait()
        qjb = side(log, zombie)
        await qjb.submit("j1")
        await hand.is_told("j1")
        await until(lambda: "default/j1" in qjb.snapshots())
        wire.holding.clear()  # its appends are under way, for a long time
        await hand.report("j1", Began())
        await until(lambda: EVENTS in wire.holds_of)
        second = a_broker(log, zombie.means.blobs, QUICK)
        async with running(second):
            await asyncio.wait_for(second.active.wait(), 20)
            await qjb.reaches("j1", "started")
            await hand.report("j1", Published(msgspec.Raw(b"1")))
            await qjb.reaches("j1", "interim")
            wire.holding.set()
            await asyncio.gather(*wire.held)
            await until(lambda: not zombie.active.is_set())
            fake = msgspec.structs.replace(qjb.snapshots()["default/j1"], seq=9, state=State.FAILED)
            await log.append(STATE, [snapshot_record(fake, 1, times.now())])
            await until(lambda: not qjb.snapshots()["default/j1"].terminal)
            await hand.report("j1", HELLO)
            await qjb.ends("j1")
            await until(lambda: qjb.snapshots()["default/j1"].state is State.COMPLETED)

    [history] = check_histories(log).values()
    assert [e.event.kind for e in history] == [*RAN[:3], "interim", "completed"]
    assert {e.epoch for e in history[2:]} == {2}


async def test_a_broker_that_has_heard_nothing_finds_the_claim_with_its_next_append() -> None:
    log = MemoryLog(1)
    wire = Wire(log)
    hand = Hand(log)
    zombie = a_broker(wire, options=replace(QUICK, stall=60.0))
    async with running(zombie, hand):
        await zombie.active.wait()
        qjb = side(log, zombie)
        await qjb.submit("j1")
        await hand.is_told("j1")
        await until(lambda: "default/j1" in qjb.snapshots())
        wire.holding.clear()
        await hand.report("j1", Began())
        await until(lambda: EVENTS in wire.holds_of)
        wire.deaf = True
        successor = a_broker(log, zombie.means.blobs, QUICK)
        async with running(successor):
            await asyncio.wait_for(successor.active.wait(), 20)
            await qjb.reaches("j1", "started")
            wire.holding.set()
            await asyncio.gather(*wire.held)
            await until(lambda: not zombie.active.is_set())

            for record in stored(log, STATE):  # nothing void was said to be so
                if record.key == b"default/j1" and record.header("qjb-epoch") == b"1":
                    assert int(record.header("qjb-seq") or 0) <= 2
            wire.deaf = False
            await hand.report("j1", HELLO)
            assert [e.kind for e in await qjb.ends("j1")] == RAN


async def test_a_mended_snapshot_of_a_job_that_was_forgotten_is_its_true_one() -> None:
    log = MemoryLog()
    async with system(Hand(log, runs=True), options=replace(ALONE)) as qjb:
        await qjb.submit("j1")
        await qjb.ends("j1")
        await until(
            lambda: qjb.snapshots().get("default/j1") and qjb.snapshots()["default/j1"].terminal
        )
        true = qjb.snapshots()["default/j1"]
        fake = msgspec.structs.replace(true, seq=2, state=State.RUNNING)
        await log.append(STATE, [snapshot_record(fake, 0, times.now())])
        await until(lambda: qjb.snapshots()["default/j1"] == true)


async def test_a_dispatch_that_never_left_is_made_again_by_the_next_broker() -> None:
    log = MemoryLog()
    wire = Wire(log)
    hand = Hand(log)
    first = a_broker(wire, options=QUICK)
    async with running(first, hand) as tasks:
        await first.active.wait()
        await until(lambda: [*first.means.roster.takers()])
        qjb = side(log, first)
        with log.fault(Hang(INBOX, reads=False)):
            await qjb.submit("j1")
            await qjb.reaches("j1", "dispatched")
            await kill(tasks[0], wire)
            for where, tail in log.tails.items():
                if where.topic == INBOX:
                    tail.replace([], tail.next)
        hand.runs = True
        async with system(log=log) as qjb:
            events = await qjb.ends("j1")

    assert [e.kind for e in events].count("completed") == 1


async def test_a_broker_that_is_cancelled_while_it_writes_snapshots_loses_none() -> None:
    log = MemoryLog()
    broker = a_broker(log)
    async with running(broker, Hand(log, slots=0)) as tasks:
        await broker.active.wait()
        qjb = side(log, broker)
        with log.fault(Delay(0.1, STATE)) as slow:
            await qjb.submit("j1")
            await qjb.reaches("j1", "queued")
            before = slow.hits
            await until(lambda: slow.hits > before)
            tasks[0].cancel()
            await asyncio.gather(tasks[0], return_exceptions=True)

        assert "default/j1" in qjb.snapshots()


async def test_a_broker_that_is_told_to_stop_while_standing_by_stops() -> None:
    log = MemoryLog()
    async with system(log=log, options=QUICK):
        standby = a_broker(log, options=QUICK)
        with capture_logs() as said:
            task = asyncio.create_task(standby.run())
            await until(lambda: stands_by(said))
        standby.stop()
        await asyncio.wait_for(task, 10)


@pytest.mark.parametrize("topic", [STATE, EVENTS])
async def test_a_broker_that_can_not_read_the_log_stops_when_told(topic: str) -> None:
    log = MemoryLog()
    with log.fault(Hang(topic)):
        broker = a_broker(log)
        async with running(broker) as (task,):
            await until(lambda: stored(log, STATUS))
            broker.stop()
            await asyncio.wait_for(task, 10)


async def test_a_broker_whose_log_stalls_stops_when_told() -> None:
    log = MemoryLog()
    broker = a_broker(log, options=replace(ALONE, leaving=0.1))
    async with running(broker) as (task,):
        await until(broker.active.is_set)
        with log.fault(Hang()):
            broker.stop()
            await asyncio.wait_for(task, 10)


async def test_a_broker_that_can_not_append_keeps_only_the_newest_of_what_it_hears() -> None:
    log = MemoryLog()
    broker, hand = a_broker(log, options=replace(ALONE, heard=20)), Hand(log)
    async with running(broker, hand):
        await broker.active.wait()
        qjb = side(log, broker)
        await qjb.submit("j1")
        await hand.is_told("j1")
        assert broker._service is not None
        with log.fault(LoseAppend(EVENTS)) as fault:
            await hand.report("j1", Began())
            await until(lambda: fault.hits)
            for _ in range(100):
                await hand.beat()
            await until(lambda: len(broker.means.heard._waiting) >= 20)
            assert len(broker.means.heard._waiting) == 20
        await hand.report("j1", HELLO)

        assert [e.kind for e in await qjb.ends("j1")] == RAN


async def test_a_broker_that_can_not_append_keeps_few_bytes_of_what_it_hears() -> None:
    log = MemoryLog()
    broker, hand = a_broker(log), Hand(log)
    large = msgspec.structs.replace(
        scripted_backend("large"), properties=msgspec.Raw(b'"%s"' % (b"x" * 900_000))
    )
    async with running(broker, hand):
        await broker.active.wait()
        qjb = side(log, broker)
        await qjb.submit("j1")
        await hand.is_told("j1")
        assert broker._service is not None
        waiting = broker.means.heard
        with log.fault(LoseAppend(EVENTS)) as fault:
            await hand.report("j1", Began())
            await until(lambda: fault.hits)
            for _ in range(40):
                await log.append(STATUS, [status_record(large, "t")])
            newest = msgspec.structs.replace(large, name="newest")
            await log.append(STATUS, [status_record(newest, "t")])
            await until(lambda: newest in waiting._waiting)
            assert 10 < len(waiting._waiting) < 40
            assert 0 < waiting._memory.held <= heard.HEARD_BYTES
        await hand.report("j1", HELLO)

        assert [e.kind for e in await qjb.ends("j1")] == RAN
        assert waiting._memory.held <= 2_000_000
        assert "newest" in broker._roster.backends


async def test_a_log_that_is_slow_is_only_slow() -> None:
    hand = Hand(MemoryLog(), runs=True, slots=8)
    async with system(hand) as qjb:
        with qjb.log.fault(Delay(0.02)):
            await qjb.submit(*(f"j{n}" for n in range(30)))
            for n in range(30):
                assert [e.kind for e in await qjb.ends(f"j{n}")] == RAN
    assert len(claims(qjb.log)[0]) == 1


async def test_jobs_accepted_before_any_worker_came_are_placed_by_the_next_broker() -> None:
    log = MemoryLog()
    async with system(log=log) as qjb:
        await qjb.submit("early")
        await qjb.reaches("early", "queued")
    working = asyncio.create_task(Hand(log, runs=True).work())
    await until(lambda: stored(log, STATUS)[-1].key == b"worker/w1")

    async with system(log=log) as qjb:
        assert [event.kind for event in await qjb.ends("early")] == RAN
    working.cancel()
