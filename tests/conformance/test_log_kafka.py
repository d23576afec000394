"""What only the log on Kafka promises: its topics, its cluster's bad days."""

import asyncio
import shutil
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.partitioner import DefaultPartitioner

from broker.errors import (
    AppendUnknownError,
    LogUnavailableError,
    QjbError,
    RecordTooLargeError,
    TopicMisconfiguredError,
)
from broker.gateway.programs import Programs
from broker.library import Library
from broker.transports.blobs import open_blobs
from broker.transports.cluster import cluster_of
from broker.transports.kafka import KafkaLog
from broker.transports.kafka.batches import UNREADABLE
from broker.transports.kafka.options import Options
from broker.transports.log import Log, TopicPartition
from broker.transports.topics import DAY, EVENTS, REQUESTS, STATE, STATUS, TOPICS, partition_for
from schemas.records import Record, Stored
from schemas.topics import PROGRAMS
from schemas.uploads import Upload
from tests.conformance.conftest import delete_topics
from tests.support.awaiting import eventually
from tests.support.kafka import KafkaCluster
from tests.support.processes import free_port
from tests.support.records import Hand, Raw

pytestmark = pytest.mark.kafka
SOME = {name: TOPICS[name] for name in (EVENTS, PROGRAMS.name, REQUESTS, STATE, STATUS)}
KEY = b"default/job-1"
LINES = [digit * 500 for digit in (b"1", b"2", b"3")]  # short ones are not worth packing
needs_kcat = pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")


def kafka_log(servers: str, prefix: str, **more: object) -> KafkaLog:
    return KafkaLog(cluster_of(f"kafka://{servers}"), topics=SOME, prefix=prefix, **more)  # type: ignore[arg-type]


@pytest.fixture
def prefix() -> str:
    return f"k{uuid.uuid4().hex[:8]}."


@pytest.fixture
async def admin(kafka: str, prefix: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    yield admin
    await admin.close()
    await delete_topics(kafka, prefix)


@pytest.fixture
async def log(kafka: str, prefix: str, admin: AIOKafkaAdminClient) -> AsyncIterator[Log]:
    log = kafka_log(kafka, prefix)
    await log.open()
    yield log
    await log.close()


@pytest.fixture
async def eager(kafka: str, prefix: str, admin: AIOKafkaAdminClient) -> AsyncIterator[KafkaLog]:
    """One that looks often."""
    log = kafka_log(kafka, prefix, options=Options(look=0.2, watch=0.2))
    await log.open()
    yield log
    await log.close()


async def follow_to(log: Log, count: int, within: float = 60.0) -> list[Stored]:
    starts = {TopicPartition(EVENTS, p): 0 for p in range(log.partitions(EVENTS))}
    follower = log.follow(starts)
    found: list[Stored] = []
    until = time.monotonic() + within
    while len(found) < count and time.monotonic() < until:
        found += await follower.next(0.5)
    await follower.close()
    return found


# Topics


async def test_topics_that_are_set_up_wrongly_are_all_named(
    kafka: str, prefix: str, admin: AIOKafkaAdminClient
) -> None:
    await admin.create_topics(
        [
            NewTopic(prefix + EVENTS, 1, 1, topic_configs={"retention.ms": "60000"}),
            NewTopic(prefix + STATE, 4, 1, topic_configs={"cleanup.policy": "delete"}),
        ]
    )
    with pytest.raises(TopicMisconfiguredError) as caught:
        await kafka_log(kafka, prefix).open()

    said = caught.value.message
    assert f"{prefix}{EVENTS}: retention.ms is 60000, wanted at least 604800000" in said
    assert f"{prefix}{EVENTS}: partitions is 1, wanted at least 4" in said
    assert f"{prefix}{STATE}: cleanup.policy is delete, wanted compact" in said
    assert STATUS not in said


async def test_topics_whose_times_producers_say_are_named(
    kafka: str, prefix: str, admin: AIOKafkaAdminClient
) -> None:
    right = {"retention.ms": str(int(3 * DAY * 1000)), "compression.type": "uncompressed"}
    await admin.create_topics([NewTopic(prefix + REQUESTS, 4, 1, topic_configs=right)])
    with pytest.raises(TopicMisconfiguredError) as caught:
        await kafka_log(kafka, prefix).open()
    assert caught.value.message == (
        f"{prefix}{REQUESTS}: message.timestamp.type is CreateTime, wanted LogAppendTime:"
        " writers would say what is old"
    )

    mended = ConfigResource(
        ConfigResourceType.TOPIC,
        prefix + REQUESTS,
        right | {"message.timestamp.type": "LogAppendTime"},
    )
    await admin.alter_configs([mended])
    await until_set(admin, prefix + REQUESTS, "message.timestamp.type", "LogAppendTime")
    log = kafka_log(kafka, prefix)
    await log.open()
    await log.close()


async def test_more_partitions_than_wanted_are_used(
    kafka: str, prefix: str, admin: AIOKafkaAdminClient
) -> None:
    config = {"retention.ms": "-1", "compression.type": "uncompressed"}
    await admin.create_topics([NewTopic(prefix + EVENTS, 7, 1, topic_configs=config)])
    log = kafka_log(kafka, prefix)
    await log.open()

    assert log.partitions(EVENTS) == 7
    positions = [(await log.append(EVENTS, [Record(b"x", b"key-%d" % n)]))[0] for n in range(50)]
    assert {p.partition for p in positions} == set(range(7))
    await log.close()


async def test_several_processes_may_make_the_topics_at_once(
    kafka: str, prefix: str, admin: AIOKafkaAdminClient
) -> None:
    logs = [kafka_log(kafka, prefix) for _ in range(4)]
    await asyncio.gather(*(log.open() for log in logs))

    assert {log.partitions(EVENTS) for log in logs} == {4}
    assert len({log.identity for log in logs}) == 1
    for log in logs:
        await log.close()


async def test_a_cluster_that_is_not_there_is_named(prefix: str) -> None:
    port = free_port()
    log = kafka_log(f"127.0.0.1:{port}", prefix, options=Options(open_within=1.0))

    with pytest.raises(LogUnavailableError, match=f"127.0.0.1:{port} can not be used"):
        await log.open()


# Other clients


@pytest.mark.parametrize("partitions", [1, 3, 4, 16])
def test_keys_go_where_other_clients_put_them(partitions: int) -> None:
    theirs = DefaultPartitioner()
    numbers = list(range(partitions))
    for n in range(200):
        key = b"tenant-%d/%s" % (n % 7, b"x" * n)
        assert partition_for(key, partitions) == theirs(key, numbers, numbers)


async def test_records_of_other_clients_are_read(kafka: str, prefix: str, log: Log) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, compression_type="gzip")
    await producer.start()
    try:
        for n in range(10):
            await producer.send_and_wait(prefix + EVENTS, b"%d" % n, key=KEY)
        await producer.send_and_wait(prefix + EVENTS, None, key=KEY)
    finally:
        await producer.stop()

    records = await log.read(EVENTS, log.partition_of(EVENTS, KEY), 0)
    assert [record.value for record in records] == [b"%d" % n for n in range(10)] + [b""]


@needs_kcat
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_what_other_clients_pack_is_read(
    kafka: str, prefix: str, log: Log, codec: str
) -> None:
    kcat(kafka, prefix + EVENTS, "-p", "0", "-z", codec)

    assert values(await log.read(EVENTS, 0, 0)) == LINES


@needs_kcat
async def test_a_batch_that_nobody_can_unpack_costs_other_partitions_nothing(
    kafka: str, prefix: str, log: Log, admin: AIOKafkaAdminClient
) -> None:
    config = {"compression.type": "producer", "retention.ms": "-1"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, prefix + EVENTS, config)])
    await until_set(admin, prefix + EVENTS, "compression.type", "producer")
    kcat(kafka, prefix + EVENTS, "-p", "1", "-z", "zstd")
    for partition in ("0", "2", "3"):
        kcat(kafka, prefix + EVENTS, "-p", partition)

    found = await follow_to(log, 10, within=15)

    for partition in (0, 2, 3):
        assert values(r for r in found if r.partition == partition) == LINES
    (packed,) = [record for record in found if record.partition == 1]
    assert b"odec" in (packed.header(UNREADABLE) or b"")
    assert packed.offset == 2
    assert len(found) == 10


async def until_set(admin: AIOKafkaAdminClient, topic: str, name: str, value: str) -> None:
    """A new setting takes a moment to reach the node."""
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic)]

    async def is_set() -> bool:
        (answer,) = await admin.describe_configs(asked)
        return any(entry[:2] == (name, value) for entry in answer.resources[0][4])

    await eventually(is_set)


def kcat(servers: str, topic: str, *more: str) -> None:
    """Produce `LINES`, a record each, as one batch."""
    command = ["kcat", "-P", "-b", servers, "-t", topic, *more]
    subprocess.run(command, input=b"\n".join(LINES), check=True, timeout=20)


async def test_names_that_are_not_utf8_cost_neither_their_records_nor_others(
    kafka: str, prefix: str, log: Log
) -> None:
    odd = Raw(b"odd", KEY, [(b"\xff", None), (b"a", b"b")])
    async with Hand(kafka) as hand:
        for partition in range(4):
            await hand.write(prefix + EVENTS, partition, [Raw(b"1"), odd, Raw(b"2")])
            await hand.write(prefix + EVENTS, partition, [Raw(b"3")])

    found = await follow_to(log, 16)
    for partition in range(4):
        read = await log.read(EVENTS, partition, 0)
        read += await log.read(EVENTS, partition, read[-1].offset + 1)
        assert values(read) == [b"1", b"odd", b"2", b"3"]
        assert [r for r in found if r.partition == partition] == read
        assert read[1].headers == (("\ufffd", b""), ("a", b"b"))
        assert [r.offset for r in await log.read(EVENTS, partition, 1, 2)] == [1, 2]


def values(records: Iterable[Stored]) -> list[bytes]:
    return [record.value for record in records]


async def test_a_position_that_is_gone_goes_on_with_what_is_kept(
    prefix: str, log: Log, admin: AIOKafkaAdminClient
) -> None:
    partition = log.partition_of(EVENTS, KEY)
    await log.append(EVENTS, [Record(b"%d" % n, KEY) for n in range(20)])
    follower = log.follow({TopicPartition(EVENTS, partition): 2})
    await delete_before(admin, prefix + EVENTS, partition, 15)

    found: list[Stored] = []
    until = time.monotonic() + 20
    while len(found) < 5 and time.monotonic() < until:
        found += await follower.next(0.5)

    assert [record.offset for record in found] == list(range(15, 20))
    assert (await log.bounds(EVENTS, partition)).first == 15
    assert [r.offset for r in await log.read(EVENTS, partition, 0)] == list(range(15, 20))
    await follower.close()


# Topics that change while they are read


async def test_partitions_that_are_added_are_read_and_keys_keep_their_place(
    kafka: str, prefix: str, eager: Log, admin: AIOKafkaAdminClient
) -> None:
    log = eager
    keys = [b"default/job-%d" % n for n in range(30)]
    before = {key: log.partition_of(REQUESTS, key) for key in keys}
    follower = log.follow({TopicPartition(REQUESTS, p): 0 for p in range(4)})
    await follower.next(1)
    await admin.create_partitions({prefix + REQUESTS: NewPartitions(9)})
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        for partition in range(9):
            value = b"%d" % partition
            await producer.send_and_wait(prefix + REQUESTS, value, key=KEY, partition=partition)
    finally:
        await producer.stop()

    found: list[Stored] = []
    async with asyncio.timeout(30):
        while len(found) < 9:
            found += await follower.next(0.5)
    assert sorted(values(found)) == [b"%d" % n for n in range(9)]
    later = kafka_log(kafka, prefix)
    await later.open()
    for each in (log, later):
        assert each.partitions(REQUESTS) == 9
        assert {key: each.partition_of(REQUESTS, key) for key in keys} == before
    positions = [(await later.append(REQUESTS, [Record(b"x", key)]))[0] for key in keys]
    assert {key: at.partition for key, at in zip(keys, positions, strict=True)} == before
    await follower.close()
    await later.close()


@pytest.mark.parametrize("longer", [False, True], ids=["shorter", "longer"])
async def test_a_topic_that_is_made_anew_is_not_taken_for_the_old_one(
    kafka: str, prefix: str, eager: Log, admin: AIOKafkaAdminClient, longer: bool
) -> None:
    log = eager
    where = TopicPartition(EVENTS, log.partition_of(EVENTS, KEY))
    old = log.content_of(EVENTS)
    await log.append(EVENTS, [Record(b"old", KEY) for _ in range(20)])
    follower = log.follow({where: 20})
    await follower.next(0.2)
    await admin.delete_topics([prefix + EVENTS])
    other = kafka_log(kafka, prefix)
    async with asyncio.timeout(30):
        while True:
            with suppress(QjbError):
                await other.open()  # as soon as the cluster lets go of the name
                await other.append(EVENTS, [Record(b"new", KEY)] * (30 if longer else 3))
                break

    found: list[Stored] = []
    async with asyncio.timeout(40):
        while {record.offset for record in found} != set(range(30 if longer else 3)):
            found += await follower.next(0.5)
    assert set(values(found)) == {b"new"}
    await eventually(lambda: log.content_of(EVENTS) != old, within=20)
    assert log.content_of(EVENTS) == other.content_of(EVENTS)
    await follower.close()
    await other.close()


async def test_what_is_said_on_a_topic_that_is_made_anew_is_known_to_who_knew_the_old_one(
    kafka: str, prefix: str, eager: Log, admin: AIOKafkaAdminClient
) -> None:
    blobs, code = open_blobs("memory:///"), b"def main(backend, user_messenger):\n    return 1\n"
    library, asking = Library(eager), Library(eager)
    other = kafka_log(kafka, prefix)
    async with library.in_use():
        for number in range(5):
            old = await Programs(eager, blobs, asking).upload("default", Upload(f"{number}"), code)
        await eventually(lambda: library.catalogue.get(old.program.id))
        await admin.delete_topics([prefix + PROGRAMS.name])
        async with asyncio.timeout(30):
            while True:
                with suppress(QjbError):
                    await other.open()  # as soon as the cluster lets go of the name
                    break
        programs = Programs(other, blobs, Library(other))
        gone, new = [(await programs.upload("default", Upload(n), code)).program for n in "ab"]
        await eventually(lambda: library.catalogue.get(new.id), within=40)
        await programs.delete("default", gone.id)
        await eventually(lambda: library.catalogue.get(gone.id) is None, within=40)
        await asking.catch_up()
        assert asking.catalogue.get(new.id)
    await other.close()


async def delete_before(
    admin: AIOKafkaAdminClient, topic: str, partition: int, offset: int
) -> None:
    from aiokafka import TopicPartition as KafkaPartition
    from aiokafka.admin import RecordsToDelete

    await admin.delete_records({KafkaPartition(topic, partition): RecordsToDelete(offset)})


@pytest.mark.parametrize("wait", [0.1, 20.0])
async def test_a_follower_that_has_fallen_silent_is_mended(eager: KafkaLog, wait: float) -> None:
    log = eager
    where = TopicPartition(EVENTS, log.partition_of(EVENTS, KEY))
    follower = log.follow({where: 0})
    await log.append(EVENTS, [Record(b"1", KEY)])
    assert len(await follower.next(10)) == 1
    follower._consumer.pause(log._clients.taking.named(where))  # as good as deaf

    await log.append(EVENTS, [Record(b"2", KEY)])
    found: list[Stored] = []
    until = time.monotonic() + 20
    while not found and time.monotonic() < until:
        found += await follower.next(wait)

    assert [record.value for record in found] == [b"2"]
    await follower.close()


async def test_a_follower_whose_topic_changed_while_it_listened_is_mended_all_the_same(
    eager: KafkaLog,
) -> None:
    log = eager
    where = TopicPartition(EVENTS, log.partition_of(EVENTS, KEY))
    follower = log.follow({where: 0})
    listening = asyncio.create_task(follower.next(2))
    await eventually(lambda: follower._consumer is not None)
    first = follower._consumer
    follower.start_over(EVENTS)
    await listening
    async with asyncio.timeout(20):
        while follower._consumer in (None, first):
            await follower.next(0.5)
    follower._consumer.pause(log._clients.taking.named(where))  # as good as deaf

    await log.append(EVENTS, [Record(b"1", KEY)])
    async with asyncio.timeout(20):
        while not (found := await follower.next(0.5)):
            pass

    assert values(found) == [b"1"]
    await follower.close()


async def test_an_append_that_nobody_waits_for_any_more_is_not_made(log: KafkaLog) -> None:
    async with log._clients._producing:  # as while a producer connects
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(log.append(EVENTS, [Record(b"given up", KEY)]), 0.05)

    (position,) = await log.append(EVENTS, [Record(b"1", KEY)])
    assert position.offset == 0


async def test_an_append_after_the_producer_broke_uses_a_new_one(log: KafkaLog) -> None:
    await log.append(EVENTS, [Record(b"1", KEY)])
    broken = await log._clients.producer()
    await log._clients.replace_producer(broken)

    (position,) = await log.append(EVENTS, [Record(b"2", KEY)])

    assert await log._clients.producer() is not broken
    assert position.offset == 1


async def test_a_limit_that_was_lowered_meanwhile_refuses_large_records(
    prefix: str, log: Log, admin: AIOKafkaAdminClient
) -> None:
    config = {"max.message.bytes": "10000", "retention.ms": "-1"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, prefix + EVENTS, config)])
    small, large = Record(b"x", KEY), Record(b"x" * 50_000, KEY)

    with pytest.raises(RecordTooLargeError, match="lower than ours"):
        await eventually(lambda: taken(log, large))  # the limit takes a moment to reach the node
    (position,) = await log.append(EVENTS, [small])
    assert (await log.read(EVENTS, position.partition, position.offset))[0].value == b"x"


async def taken(log: Log, record: Record) -> bool:
    """Append it; that it is not refused is not what anybody waits for."""
    await log.append(EVENTS, [record])
    return False


# Transactions


@asynccontextmanager
async def transactional(kafka: str, name: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer of others, which writes in transactions."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=name)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def written(producer: AIOKafkaProducer, topic: str, *lines: bytes, ends: bool) -> None:
    """Write *lines* on partition 0 in one transaction; it *ends* well, or is aborted."""
    await producer.begin_transaction()
    for line in lines:
        await producer.send_and_wait(topic, line, partition=0)
    await (producer.commit_transaction() if ends else producer.abort_transaction())


async def until_ended(log: Log, end: int) -> None:
    """The end of a transaction takes a moment to be on the topic."""

    async def is_there() -> bool:
        return (await log.bounds(REQUESTS, 0)).next == end

    await eventually(is_there)


async def test_what_a_transaction_wrote_is_read_unless_it_was_aborted(
    kafka: str, prefix: str, log: Log
) -> None:
    where = TopicPartition(REQUESTS, 0)
    follower = log.follow({where: 0})
    async with transactional(kafka, prefix) as producer:
        for number in range(5):
            await written(producer, prefix + REQUESTS, b"kept %d" % number, b"too", ends=True)
            await written(producer, prefix + REQUESTS, *LINES, ends=False)
    end = 5 * 7  # their ends take offsets, and the last record is such an end
    await until_ended(log, end)

    found: list[Stored] = []
    async with asyncio.timeout(20):
        while follower.positions()[where] < end:
            found += await follower.next(0.5)
    expected = [line for number in range(5) for line in (b"kept %d" % number, b"too")]
    assert values(found) == expected
    assert values(await log.read(REQUESTS, 0, 0)) == expected
    assert await log.read(REQUESTS, 0, end - 1) == []
    await follower.close()


async def test_a_name_that_nobody_can_read_brings_no_aborted_request_back(
    kafka: str, prefix: str, log: Log
) -> None:
    odd = Raw(b"odd", headers=[(b"\xff", b"x")])  # the client raises for it
    async with Hand(kafka) as hand, transactional(kafka, prefix) as producer:
        await hand.partitions(prefix + REQUESTS)
        await producer.begin_transaction()
        await producer.send_and_wait(prefix + REQUESTS, b"aborted", partition=0)
        await hand.write(prefix + REQUESTS, 0, [odd])
        await producer.send_and_wait(prefix + REQUESTS, b"aborted", partition=0)
        await producer.abort_transaction()
        await hand.write(prefix + REQUESTS, 0, [odd])
        await written(producer, prefix + REQUESTS, b"kept", ends=True)

    await until_ended(log, 7)
    assert values(await log.read(REQUESTS, 0, 0)) == [b"odd", b"odd", b"kept"]
    assert values(await log.read(REQUESTS, 0, 2)) == [b"odd", b"kept"]  # within the aborted one


async def test_a_transaction_that_is_open_holds_back_what_is_behind_it_on_that_topic_alone(
    kafka: str, prefix: str, log: Log
) -> None:
    async with transactional(kafka, prefix) as producer:
        await producer.begin_transaction()
        for topic in (REQUESTS, EVENTS):
            await producer.send_and_wait(prefix + topic, b"first", partition=0)
            await log.append(topic, [Record(b"second", partition=0)])
        assert values(await log.read(EVENTS, 0, 0)) == [b"first", b"second"]
        assert (await log.bounds(REQUESTS, 0)).next == 0
        assert await log.read(REQUESTS, 0, 0) == []
        await producer.commit_transaction()

    await until_ended(log, 3)
    assert values(await log.read(REQUESTS, 0, 0)) == [b"first", b"second"]


# Bad days


class Traffic:
    """Appends numbered records until told to stop, and follows them."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._stop = asyncio.Event()
        self._stopped = False  # nothing more is under way
        self.appended = 0
        self.worst = 0.0
        self.found: list[Stored] = []

    async def append(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            number = self.appended
            await self._log.append(EVENTS, [Record(b"%d" % number, b"key-%d" % (number % 20))] * 1)
            self.worst = max(self.worst, time.monotonic() - began)
            self.appended += 1
            await asyncio.sleep(0.002)
        self._stopped = True

    async def follow(self) -> None:
        count = self._log.partitions(EVENTS)
        follower = self._log.follow({TopicPartition(EVENTS, p): 0 for p in range(count)})
        until = time.monotonic() + 120
        while not (self._stopped and len(self.found) >= self.appended):
            assert time.monotonic() < until, f"{len(self.found)} of {self.appended} records came"
            with suppress(LogUnavailableError):  # it goes on where it stopped
                self.found += await follower.next(0.5)
        await follower.close()

    async def through(self, *steps: tuple[float, object]) -> None:
        """Run while each step, after its seconds, happens."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.append())
            group.create_task(self.follow())
            for seconds, step in steps:
                await asyncio.sleep(seconds)
                if step is not None:
                    await asyncio.to_thread(step)  # type: ignore[arg-type]
            self._stop.set()

    def complete(self) -> bool:
        """Whether every record came, once, and each key's in order."""
        numbers = [int(record.value) for record in self.found]
        for key in range(20):
            mine = [n for n in numbers if n % 20 == key]
            assert mine == sorted(mine)
        assert sorted(numbers) == list(range(self.appended))
        return True


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("node", [1, 2])
async def test_a_killed_node_of_three_costs_some_seconds_and_no_record(
    three_nodes: KafkaCluster, prefix: str, node: int
) -> None:
    log = kafka_log(three_nodes.bootstrap, prefix)
    await log.open()
    traffic = Traffic(log)

    await traffic.through(
        (2, lambda: three_nodes.kill(node)), (15, lambda: three_nodes.start(node)), (3, None)
    )
    await log.close()

    assert traffic.complete()
    print(f"worst append {traffic.worst:.1f} s, {traffic.appended} records")


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_node_of_three_that_hangs_costs_some_seconds_and_no_record(
    three_nodes: KafkaCluster, prefix: str
) -> None:
    log = kafka_log(three_nodes.bootstrap, prefix)
    await log.open()
    traffic = Traffic(log)

    await traffic.through(
        (2, lambda: three_nodes.pause(1)), (25, lambda: three_nodes.resume(1)), (5, None)
    )
    await log.close()

    assert traffic.complete()
    print(f"worst append {traffic.worst:.1f} s, {traffic.appended} records")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_cluster_that_is_away_for_a_minute_costs_that_minute_and_no_record(
    three_nodes: KafkaCluster, prefix: str
) -> None:
    log = kafka_log(three_nodes.bootstrap, prefix)
    await log.open()
    traffic = Traffic(log)

    await traffic.through(
        (2, lambda: three_nodes.down(hard=True)), (60, three_nodes.up), (10, None)
    )
    assert traffic.complete()
    assert (await log.bounds(EVENTS, 0)).next > 0
    await log.close()
    print(f"worst append {traffic.worst:.1f} s, {traffic.appended} records")


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_what_could_not_be_sent_before_the_end_is_said_to_be_in_doubt(
    three_nodes: KafkaCluster, prefix: str
) -> None:
    log = kafka_log(three_nodes.bootstrap, prefix, options=Options(close_within=1.0))
    await log.open()
    await log.append(EVENTS, [Record(b"x", KEY)])
    await asyncio.to_thread(three_nodes.down, hard=True)
    try:
        appending = asyncio.create_task(log.append(EVENTS, [Record(b"y", KEY)]))
        await asyncio.sleep(1)
        await log.close()

        with pytest.raises(AppendUnknownError):
            await appending
    finally:
        await asyncio.to_thread(three_nodes.up)
