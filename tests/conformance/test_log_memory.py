"""The faults of the memory log: each goes wrong in one way, and stops doing so."""

import asyncio
import time

import pytest

from broker.errors import AppendFailedError, AppendUnknownError
from broker.transports.log import TopicPartition
from broker.transports.memory import (
    Delay,
    Duplicate,
    Hang,
    LoseAcknowledgement,
    LoseAppend,
    LoseSilently,
    MemoryLog,
)
from broker.transports.topics import DAY, EVENTS, REPORTS, REQUESTS, STATE, STATUS
from schemas.records import Record
from tests.support.awaiting import eventually, steps

WHERE = TopicPartition(EVENTS, 0)
RECORD = Record(b"x", b"default/job-1")


@pytest.fixture
async def log() -> MemoryLog:
    log = MemoryLog(1)
    await log.open()
    return log


async def count(log: MemoryLog, topic: str = EVENTS) -> int:
    return len(await log.read(topic, 0, 0))


async def test_a_lost_append_stores_nothing_and_says_so(log: MemoryLog) -> None:
    with log.fault(LoseAppend()), pytest.raises(AppendFailedError):
        await log.append(EVENTS, [RECORD])

    assert await count(log) == 0
    await log.append(EVENTS, [RECORD])
    assert await count(log) == 1


async def test_an_append_may_be_lost_without_a_word(log: MemoryLog) -> None:
    with log.fault(LoseSilently()), pytest.raises(AppendUnknownError):
        await log.append(EVENTS, [RECORD])

    assert await count(log) == 0


async def test_an_acknowledgement_may_be_lost_though_the_records_are_there(log: MemoryLog) -> None:
    with log.fault(LoseAcknowledgement()), pytest.raises(AppendUnknownError):
        await log.append(EVENTS, [RECORD])

    assert await count(log) == 1


async def test_an_append_may_be_stored_twice(log: MemoryLog) -> None:
    with log.fault(Duplicate()):
        (position,) = await log.append(EVENTS, [RECORD])

    assert position.offset == 0
    assert await count(log) == 2


async def test_an_append_may_be_late(log: MemoryLog) -> None:
    began = time.monotonic()
    with log.fault(Delay(0.05)):
        await log.append(EVENTS, [RECORD])

    assert time.monotonic() - began >= 0.05
    assert await count(log) == 1


async def test_a_fault_can_wait_for_its_append(log: MemoryLog) -> None:
    with log.fault(LoseAppend(EVENTS, skip=2, times=1)) as fault:
        await log.append(EVENTS, [RECORD])
        await log.append(EVENTS, [RECORD])
        await log.append(REPORTS, [RECORD])
        with pytest.raises(AppendFailedError):
            await log.append(EVENTS, [RECORD])
        await log.append(EVENTS, [RECORD])

    assert await count(log) == 3
    assert fault.hits == 1


async def test_while_the_log_stalls_nothing_moves_and_then_everything_does(log: MemoryLog) -> None:
    follower = log.follow({WHERE: 0})
    await log.append(EVENTS, [RECORD])
    stall = Hang()
    log.start(stall)
    appending = asyncio.create_task(log.append(EVENTS, [RECORD]))
    reading = asyncio.create_task(log.read(EVENTS, 0, 0))
    bounding = asyncio.create_task(log.bounds(EVENTS, 0))

    assert await follower.next(0.05) == []
    assert not any(task.done() for task in (appending, reading, bounding))

    following = asyncio.create_task(follower.next(10))
    await steps()
    stall.release()
    await asyncio.wait_for(asyncio.gather(appending, reading, bounding), 5)
    found = list(await asyncio.wait_for(following, 5))
    if len(found) < 2:
        found += await follower.next(5)
    assert len(found) == 2


async def test_a_stall_may_hold_back_reads_only(log: MemoryLog) -> None:
    follower = log.follow({WHERE: 0})
    with log.fault(Hang(EVENTS, appends=False)):
        await log.append(EVENTS, [RECORD])
        assert await follower.next(0.02) == []

    assert len(await follower.next(0)) == 1


async def test_a_stall_ends_with_its_block(log: MemoryLog) -> None:
    with log.fault(Hang()) as stall:
        appending = asyncio.create_task(log.append(EVENTS, [RECORD]))
        await eventually(lambda: stall.hits)
    assert len(await asyncio.wait_for(appending, 5)) == 1


async def test_old_records_go_when_their_time_is_over(log: MemoryLog) -> None:
    await log.append(EVENTS, [RECORD] * 3)
    await log.append(STATE, [RECORD])

    await log.clean(time.time() + 8 * DAY)

    bounds = await log.bounds(EVENTS, 0)
    assert (bounds.first, bounds.next) == (3, 3)
    assert await count(log, STATE) == 1
    (position,) = await log.append(EVENTS, [RECORD])
    assert position.offset == 3


async def test_compaction_keeps_the_newest_record_of_each_key(log: MemoryLog) -> None:
    for number in range(3):
        await log.append(STATE, [Record(b"%d" % number, b"a"), Record(b"%d" % number, b"b")])
    await log.append(STATE, [Record(b"", b"b")])

    await log.clean()
    assert [(r.key, r.value) for r in await log.read(STATE, 0, 0)] == [(b"a", b"2"), (b"b", b"")]
    await log.clean(time.time() + 2 * DAY)
    assert [(r.key, r.value) for r in await log.read(STATE, 0, 0)] == [(b"a", b"2")]


async def test_a_follower_steps_over_what_was_compacted(log: MemoryLog) -> None:
    follower = log.follow({TopicPartition(STATUS, 0): 0})
    for number in range(5):
        await log.append(STATUS, [Record(b"%d" % number, b"broker/a")])
    await log.clean()

    assert [record.value for record in await follower.next(1)] == [b"4"]
    assert follower.positions() == {TopicPartition(STATUS, 0): 5}


async def test_what_is_compacted_does_not_fill_the_memory(log: MemoryLog) -> None:
    for number in range(60):
        records = [Record(b"%d" % number, b"key-%d" % n) for n in range(500)]
        await log.append(STATE, records)

    found = await log.read(STATE, 0, 0, 100_000)
    assert len(found) < 15_000
    assert {r.value for r in found[-500:]} == {b"59"}


async def test_partitions_that_requests_get_are_followed_and_those_of_events_are_not() -> None:
    log = MemoryLog(1)
    key = b"default/job-1"
    start = {TopicPartition(topic, 0): 0 for topic in (REQUESTS, EVENTS)}
    follower = log.follow(start)
    for topic in (REQUESTS, EVENTS):
        log.grow(topic, 4)
        await log.append(topic, [Record(b"%d" % n, key, partition=n) for n in range(4)])
        assert log.partition_of(topic, key) == 0

    found = [(record.topic, record.partition) for record in await follower.next(1)]
    assert sorted(found) == sorted([*((REQUESTS, n) for n in range(4)), (EVENTS, 0)])
    await follower.close()
