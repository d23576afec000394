"""What every log promises: memory, embedded and Kafka alike."""

import asyncio
import gc
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest

from broker.errors import AppendFailedError, RecordTooLargeError
from broker.transports.log import Bounds, Follower, Log, Position, TopicPartition
from broker.transports.topics import EVENTS, INBOX, REQUESTS, STATE, STATUS
from schemas.limits import LARGEST_RECORD
from schemas.records import Record, Stored
from schemas.topics import requests_of
from tests.conformance.conftest import PARTITIONS, OpenLog
from tests.support.awaiting import stays, steps
from tests.support.snapshots import check_columns, odd_snapshots

KEY = b"default/job-1"
ALL = [TopicPartition(EVENTS, partition) for partition in range(PARTITIONS)]


def numbered(count: int, key: bytes | None = KEY, start: int = 0) -> list[Record]:
    return [Record(b"%d" % number, key) for number in range(start, start + count)]


def values(records: Sequence[Stored]) -> list[int]:
    return [int(record.value) for record in records]


async def take(follower: Follower, count: int, within: float = 10.0) -> list[Stored]:
    """The next *count* records; fewer if they do not come in time."""
    found: list[Stored] = []
    until = time.monotonic() + within
    while len(found) < count and time.monotonic() < until:
        found += await follower.next(0.5)
    return found


async def read_all(log: Log, topic: str, partition: int, start: int = 0) -> list[Stored]:
    found: list[Stored] = []
    while more := await log.read(topic, partition, start, 700):
        found += more
        start = more[-1].offset + 1
    return found


# Append and read


async def test_records_of_one_key_are_read_in_the_order_of_append(log: Log) -> None:
    for number in range(20):
        await log.append(EVENTS, numbered(1, start=number))
    await log.append(EVENTS, numbered(20, start=20))

    records = await read_all(log, EVENTS, log.partition_of(EVENTS, KEY))

    assert values(records) == list(range(40))
    assert {record.key for record in records} == {KEY}
    assert {record.topic for record in records} == {EVENTS}


async def test_an_append_says_where_each_record_is(log: Log) -> None:
    records = [Record(b"%d" % n, b"key-%d" % n) for n in range(30)]

    positions = await log.append(EVENTS, records)

    assert len({position.partition for position in positions}) == PARTITIONS
    for record, (partition, offset) in zip(records, positions, strict=True):
        (stored,) = await log.read(EVENTS, partition, offset, 1)
        assert (stored.partition, stored.offset) == (partition, offset)
        assert (stored.key, stored.value) == (record.key, record.value)


async def test_offsets_grow_along_a_partition(log: Log) -> None:
    first = await log.append(EVENTS, numbered(3))
    second = await log.append(EVENTS, numbered(3))

    offsets = [position.offset for position in first + second]
    assert offsets == sorted(set(offsets))


async def test_a_key_goes_where_the_log_says(log: Log) -> None:
    for number in range(10):
        key = b"default/%d" % number
        (position,) = await log.append(EVENTS, [Record(b"x", key)])
        assert position.partition == log.partition_of(EVENTS, key)


async def test_a_record_goes_to_the_partition_that_it_names(log: Log) -> None:
    for partition in range(PARTITIONS):
        (position,) = await log.append(EVENTS, [Record(b"x", KEY, partition=partition)])
        assert position.partition == partition


async def test_a_partition_that_is_not_there_is_refused(log: Log) -> None:
    with pytest.raises(ValueError, match="no partition 99"):
        await log.append(EVENTS, [Record(b"good", KEY), Record(b"x", KEY, partition=99)])
    assert await read_all(log, EVENTS, log.partition_of(EVENTS, KEY)) == []


async def test_a_topic_that_is_not_there_is_refused(log: Log) -> None:
    with pytest.raises(KeyError):
        await log.append("qjb.nothing.v1", numbered(1))
    with pytest.raises(KeyError):
        log.partitions("qjb.nothing.v1")
    with pytest.raises(KeyError):
        log.follow({TopicPartition("qjb.nothing.v1", 0): 0})


async def test_topics_have_the_partitions_that_they_were_given(log: Log) -> None:
    assert [log.partitions(t) for t in (EVENTS, INBOX, STATUS)] == [PARTITIONS, PARTITIONS, 1]


async def test_topics_do_not_mix(log: Log) -> None:
    await log.append(EVENTS, [Record(b"1", KEY)])
    await log.append(REQUESTS, [Record(b"2", KEY)])

    (record,) = await read_all(log, REQUESTS, log.partition_of(REQUESTS, KEY))
    assert record.value == b"2"


async def test_headers_come_back_as_they_were(log: Log) -> None:
    headers = (("ce_id", b"1"), ("ce_id", b"2"), ("ünïcode", b"\x00\xff"), ("empty", b""))
    await log.append(EVENTS, [Record(b"x", KEY, headers), Record(b"y", KEY)])

    records = await read_all(log, EVENTS, log.partition_of(EVENTS, KEY))

    assert [record.headers for record in records] == [headers, ()]
    assert records[0].header("ce_id") == b"1"


async def test_columns_say_what_there_is_and_which_snapshot_it_is(log: Log) -> None:
    records = odd_snapshots()
    await log.append(STATE, records)
    seen = 0
    for partition in range(log.partitions(STATE)):
        seen += await check_columns(log, partition)

    assert seen == len(records)


async def test_keys_are_bytes_or_nothing(log: Log) -> None:
    records = [Record(b"x", key, partition=0) for key in (None, b"", b"\x00\xff" * 50)]
    await log.append(EVENTS, records)

    assert [r.key for r in await read_all(log, EVENTS, 0)] == [None, b"", b"\x00\xff" * 50]


async def test_records_without_a_key_are_spread(log: Log) -> None:
    positions = [(await log.append(EVENTS, [Record(b"x")]))[0] for _ in range(30)]

    assert {position.partition for position in positions} == set(range(PARTITIONS))


@pytest.mark.parametrize(("topic", "key"), [(STATE, KEY), (EVENTS, KEY), (EVENTS, None)])
async def test_a_value_may_be_empty(log: Log, topic: str, key: bytes | None) -> None:
    await log.append(topic, [Record(b"", key, partition=0)])

    (record,) = await read_all(log, topic, 0)
    assert (record.key, record.value) == (key, b"")


async def test_a_compacted_topic_takes_no_record_without_a_key(log: Log) -> None:
    with pytest.raises(ValueError, match="needs a key"):
        await log.append(STATE, [Record(b"x", partition=0)])


async def test_values_may_be_any_bytes(log: Log) -> None:
    value = bytes(range(256)) * 40
    await log.append(EVENTS, [Record(value, KEY, partition=0)])

    (record,) = await read_all(log, EVENTS, 0)
    assert record.value == value


async def test_the_log_says_when_a_record_came(log: Log) -> None:
    before = time.time() * 1000
    for _ in range(3):
        await log.append(EVENTS, [Record(b"x", KEY, partition=0)])

    times = [record.timestamp for record in await read_all(log, EVENTS, 0)]
    assert all(before - 1000 <= each <= time.time() * 1000 + 1000 for each in times)
    assert times == sorted(times)


async def test_appending_nothing_is_nothing(log: Log) -> None:
    assert await log.append(EVENTS, []) == []


# Sizes


async def test_a_record_that_is_too_large_is_refused_and_nothing_is_stored(log: Log) -> None:
    records = [Record(b"small", KEY), Record(b"x" * (LARGEST_RECORD + 1), KEY)]

    with pytest.raises(RecordTooLargeError, match="1000000"):
        await log.append(EVENTS, records)

    assert await read_all(log, EVENTS, log.partition_of(EVENTS, KEY)) == []


async def test_headers_count_towards_the_size(log: Log) -> None:
    with pytest.raises(RecordTooLargeError):
        await log.append(EVENTS, [Record(b"x", KEY, (("big", b"y" * LARGEST_RECORD),))])


async def test_a_record_may_be_nearly_as_large_as_the_limit(log: Log) -> None:
    large = b"\x01" * (LARGEST_RECORD - 1000)
    await log.append(EVENTS, [Record(large, KEY, partition=0) for _ in range(3)])

    records = await read_all(log, EVENTS, 0)
    assert [record.value == large for record in records] == [True] * 3


# Bounds


async def test_an_empty_partition_begins_where_it_ends(log: Log) -> None:
    assert await log.bounds(EVENTS, 0) == Bounds(0, 0)
    assert await log.read(EVENTS, 0, 0) == []


async def test_bounds_grow_with_the_partition(log: Log) -> None:
    await log.append(EVENTS, [Record(b"x", partition=0)] * 5)
    (last,) = await log.append(EVENTS, [Record(b"x", partition=0)])

    assert await log.bounds(EVENTS, 0) == Bounds(0, last.offset + 1)
    assert await log.bounds(EVENTS, 1) == Bounds(0, 0)


async def test_a_read_is_bounded_and_goes_on_from_anywhere(log: Log) -> None:
    await log.append(EVENTS, [Record(b"%d" % n, partition=0) for n in range(50)])

    assert values(await log.read(EVENTS, 0, 0, 10)) == list(range(10))
    assert values(await log.read(EVENTS, 0, 10, 10)) == list(range(10, 20))
    assert values(await log.read(EVENTS, 0, 35, 2)) == [35, 36]
    assert values(await read_all(log, EVENTS, 0, 45)) == list(range(45, 50))
    assert await log.read(EVENTS, 0, 50, 10) == []
    assert await log.read(EVENTS, 0, 1000, 10) == []


async def test_what_was_appended_can_be_read_at_once(log: Log) -> None:
    for number in range(20):
        (position,) = await log.append(EVENTS, numbered(1, start=number))
        assert (await log.bounds(EVENTS, position.partition)).next == position.offset + 1
        assert values(await log.read(EVENTS, position.partition, position.offset)) == [number]


# Follow


async def test_a_follower_reads_the_past_and_goes_on_live_without_a_seam(log: Log) -> None:
    await log.append(EVENTS, [Record(b"%d" % n, partition=0) for n in range(1500)])
    follower = log.follow({TopicPartition(EVENTS, 0): 0})

    async def append_more() -> None:
        for number in range(1500, 3000, 5):
            records = [Record(b"%d" % n, partition=0) for n in range(number, number + 5)]
            await log.append(EVENTS, records)

    appending = asyncio.create_task(append_more())
    found = await take(follower, 3000)
    await appending
    await follower.close()

    assert values(found) == list(range(3000))
    assert all(a.offset < b.offset for a, b in pairwise(found))


async def test_a_follower_reads_several_partitions_and_topics(log: Log) -> None:
    starts = dict.fromkeys([*ALL, TopicPartition(STATUS, 0)], 0)
    follower = log.follow(starts)
    await log.append(EVENTS, [Record(b"%d" % n, b"key-%d" % n) for n in range(50)])
    await log.append(STATUS, [Record(b"tick", b"broker/1")])

    found = await take(follower, 51)
    await follower.close()

    assert len(found) == 51
    assert {TopicPartition(r.topic, r.partition) for r in found} == set(starts)


async def test_nothing_is_left_of_a_follower_of_a_place_that_is_not_there(log: Log) -> None:
    def followers() -> int:
        gc.collect()
        return sum(type(each).__name__.endswith("Follower") for each in gc.get_objects())

    before = followers()
    with pytest.raises(KeyError):
        log.follow({ALL[0]: 0, TopicPartition(EVENTS, PARTITIONS): 0})

    assert followers() == before


async def test_each_follower_gets_everything(log: Log) -> None:
    followers = [log.follow({TopicPartition(EVENTS, 0): 0}) for _ in range(3)]
    await log.append(EVENTS, [Record(b"%d" % n, partition=0) for n in range(20)])

    for follower in followers:
        assert values(await take(follower, 20)) == list(range(20))
        await follower.close()


async def test_a_follower_begins_where_it_is_told(log: Log) -> None:
    await log.append(EVENTS, [Record(b"%d" % n, partition=0) for n in range(20)])
    follower = log.follow({TopicPartition(EVENTS, 0): 15})

    assert values(await take(follower, 5)) == list(range(15, 20))
    await follower.close()


async def test_positions_are_where_another_follower_goes_on(log: Log) -> None:
    await log.append(EVENTS, [Record(b"%d" % n, partition=0) for n in range(20)])
    follower = log.follow({TopicPartition(EVENTS, 0): 0})
    await take(follower, 20)
    positions = dict(follower.positions())
    await follower.close()
    await log.append(EVENTS, [Record(b"%d" % n, partition=0) for n in range(20, 30)])

    another = log.follow(positions)
    assert values(await take(another, 10)) == list(range(20, 30))
    await another.close()


async def test_positions_before_the_first_record_are_the_starts(log: Log) -> None:
    follower = log.follow({TopicPartition(EVENTS, 0): 7})
    assert follower.positions() == {TopicPartition(EVENTS, 0): 7}
    await follower.close()


async def test_a_follower_that_waits_is_woken_by_a_record(log: Log) -> None:
    follower = log.follow(dict.fromkeys(ALL, 0))
    assert await follower.next(0.05) == []
    waiting = asyncio.create_task(follower.next(30))
    await stays(lambda: not waiting.done(), 0.1)

    await log.append(EVENTS, numbered(1, start=5))

    assert values(await asyncio.wait_for(waiting, 10)) == [5]
    await follower.close()


async def test_a_follower_comes_back_empty_when_nothing_comes(log: Log) -> None:
    follower = log.follow({TopicPartition(EVENTS, 0): 0})

    assert await follower.next(0) == []
    assert await follower.next(0.05) == []
    await follower.close()


async def test_closing_a_follower_wakes_it(log: Log) -> None:
    follower = log.follow({TopicPartition(EVENTS, 0): 0})
    await follower.next(0.2)
    waiting = asyncio.create_task(follower.next(60))
    await stays(lambda: not waiting.done(), 0.05)

    await follower.close()

    assert await asyncio.wait_for(waiting, 10) == []
    assert await follower.next(60) == []


async def test_closing_the_log_wakes_its_followers(make: OpenLog) -> None:
    log = make()
    await log.open()
    follower = log.follow({TopicPartition(EVENTS, 0): 0})
    waiting = asyncio.create_task(follower.next(60))
    await stays(lambda: not waiting.done(), 0.2)

    await log.close()

    assert await asyncio.wait_for(waiting, 10) == []


async def test_a_cancelled_wait_loses_no_record(log: Log) -> None:
    follower = log.follow({TopicPartition(EVENTS, 0): 0})
    found: list[Stored] = []
    for number in range(20):
        waiting = asyncio.create_task(follower.next(5))
        await steps()
        await log.append(EVENTS, [Record(b"%d" % number, partition=0)])
        if number % 2:
            waiting.cancel()
        try:
            found += await waiting
        except asyncio.CancelledError:
            continue
    found += await take(follower, 20 - len(found))
    await follower.close()

    assert values(found) == list(range(20))


# Together


async def test_appenders_at_the_same_time_keep_their_own_order(log: Log) -> None:
    async def append(name: int) -> None:
        for number in range(20):
            records = [Record(b"%d" % (number * 3 + i), b"key-%d" % name) for i in range(3)]
            await log.append(EVENTS, records)

    await asyncio.gather(*(append(name) for name in range(30)))

    for name in range(30):
        key = b"key-%d" % name
        records = await read_all(log, EVENTS, log.partition_of(EVENTS, key))
        mine = [record for record in records if record.key == key]
        assert values(mine) == list(range(60))


async def test_records_of_one_append_stay_together(log: Log) -> None:
    async def append(name: int) -> list[Position]:
        return await log.append(EVENTS, numbered(10, b"%d" % name))

    for positions in await asyncio.gather(*(append(name) for name in range(40))):
        offsets = [position.offset for position in positions]
        assert offsets == list(range(offsets[0], offsets[0] + 10))


async def test_an_appender_that_is_cancelled_disturbs_nobody(log: Log) -> None:
    cancelled = [asyncio.create_task(log.append(EVENTS, numbered(1))) for _ in range(5)]
    others = [asyncio.create_task(log.append(EVENTS, numbered(1, start=7))) for _ in range(5)]
    await steps()
    for task in cancelled:
        task.cancel()

    await asyncio.gather(*cancelled, return_exceptions=True)
    for positions in await asyncio.gather(*others):
        (stored,) = await log.read(EVENTS, positions[0].partition, positions[0].offset, 1)
        assert stored.value == b"7"


# Open and close


async def test_what_was_appended_is_there_after_a_restart(make: OpenLog) -> None:
    log = make()
    await log.open()
    await log.append(EVENTS, [Record(b"%d" % n, KEY, (("n", b"1"),)) for n in range(100)])
    identity = log.identity
    await log.close()

    log = make()
    await log.open()
    partition = log.partition_of(EVENTS, KEY)
    before = await read_all(log, EVENTS, partition)
    (position,) = await log.append(EVENTS, numbered(1, start=100))
    follower = log.follow({TopicPartition(EVENTS, partition): 0})
    followed = await take(follower, 101)
    await follower.close()
    await log.close()

    assert log.identity == identity
    assert values(before) == list(range(100))
    assert before[0].headers == (("n", b"1"),)
    assert position.offset == before[-1].offset + 1
    assert values(followed) == list(range(101))


async def test_closing_waits_for_what_is_being_appended(make: OpenLog) -> None:
    log = make()
    await log.open()
    appends = [asyncio.create_task(log.append(EVENTS, numbered(50))) for _ in range(10)]
    await steps()
    await log.close()

    results = await asyncio.gather(*appends)
    assert sum(len(positions) for positions in results) == 500


async def test_a_closed_log_takes_nothing(make: OpenLog) -> None:
    log = make()
    await log.open()
    await log.close()

    with pytest.raises(AppendFailedError, match="closed"):
        await log.append(EVENTS, numbered(1))
    await log.close()


# Topics of tenants

OURS = requests_of("alpha").name


async def test_a_topic_of_a_tenant_is_there_once_it_is_asked_for(log: Log) -> None:
    with pytest.raises(KeyError):
        log.partitions(OURS)

    await asyncio.gather(log.provide([OURS]), log.provide([OURS, requests_of("beta").name]))
    await log.append(OURS, numbered(2))
    await log.append(REQUESTS, numbered(1, start=7))

    assert log.partitions(OURS) == 1
    assert await log.bounds(OURS, 0) == Bounds(0, 2)
    assert values(await read_all(log, OURS, 0)) == [0, 1]
    assert await read_all(log, requests_of("beta").name, 0) == []


@pytest.mark.parametrize("name", ["qjb.nothing.v1.alpha", "qjb.requests.v1.", "qjb.state.v1.alpha"])
async def test_no_other_topics_are_made(log: Log, name: str) -> None:
    with pytest.raises(KeyError):
        await log.provide([name])


async def test_what_a_tenant_asked_is_there_after_a_restart(make: OpenLog) -> None:
    log = make()
    await log.open()
    await log.provide([OURS])
    await log.append(OURS, numbered(3))
    await log.close()

    again = make()
    await again.open()
    await again.provide([OURS])
    await again.append(OURS, numbered(1, start=3))
    found = await read_all(again, OURS, 0)
    await again.close()

    assert values(found) == [0, 1, 2, 3]
    assert [record.offset for record in found] == [0, 1, 2, 3]


async def test_topics_of_several_tenants_are_followed_together(log: Log) -> None:
    names = [OURS, requests_of("beta").name]
    await log.provide(names)
    follower = log.follow({TopicPartition(name, 0): 0 for name in names})
    try:
        for name in names:
            await log.append(name, numbered(2))
        found = await take(follower, 4)
    finally:
        await follower.close()

    assert sorted((record.topic, int(record.value)) for record in found) == [
        (name, number) for name in names for number in range(2)
    ]


async def test_a_topic_that_somebody_else_made_is_the_same(kind: str, make: OpenLog) -> None:
    if kind != "kafka":
        pytest.skip("one process has the others")
    mine, theirs = make(), make()
    try:
        for each in (mine, theirs):
            await each.open()
            await each.provide([OURS])
        await theirs.append(OURS, numbered(1))
        assert values(await read_all(mine, OURS, 0)) == [0]
    finally:
        await mine.close()
        await theirs.close()
