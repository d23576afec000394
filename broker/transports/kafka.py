"""The log on Apache Kafka.

Records are placed by us, as Kafka's default partitioner would, and sent by one lane per partition:
what waits goes as one batch, one batch at a time. The producer is idempotent and retries for ever,
so a node or a cluster that is away for a while only takes time. Reading uses no consumer groups.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    AuthenticationFailedError,
    ConsumerStoppedError,
    KafkaError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    RecordListTooLargeError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from broker.errors import (
    AppendFailedError,
    AppendUnknownError,
    LogUnavailableError,
    QjbError,
    RecordTooLargeError,
    TopicMisconfiguredError,
)
from broker.transports.cluster import Cluster
from broker.transports.kafka_topics import BATCH_LIMIT, configs, findings, risks
from broker.transports.log import Bounds, Position, TopicPartition, check_size, size_of
from broker.transports.placement import Placement
from broker.transports.tail import BATCH
from broker.transports.topics import TOPICS, Topic, partition_for
from schemas.records import Record, Stored

log = structlog.get_logger()

OPEN_WITHIN = 30.0  # seconds in which a cluster must be found at first
REQUEST = 10.0  # seconds for one request; the producer then tries again, without duplicates
PATIENCE = 30.0  # seconds in which a read or a question is tried again: a node's failover takes 15
BACKOFF = 0.1  # seconds between two tries
LONG_POLL = 0.25  # seconds that a node holds a fetch which finds nothing
WATCH = 5.0  # seconds between two looks at a follower that hears nothing
CLOSE_WITHIN = 10.0  # seconds for what is being appended
WAITING_BYTES = 64 * 1024 * 1024  # what may wait to be sent

T = TypeVar("T")


class KafkaLog:
    """A `Log` on the cluster, under topics with *prefix* before their names.

    *partitions*: for topics that have several, if they are to be made.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        topics: Mapping[str, Topic] = TOPICS,
        partitions: int | None = None,
        prefix: str = "",
        open_within: float = OPEN_WITHIN,
    ) -> None:
        self._cluster = cluster
        self._topics = topics
        self._prefix = prefix
        self._open_within = open_within
        counts = {
            name: topic.partitions if partitions is None else min(partitions, topic.partitions)
            for name, topic in topics.items()
        }
        self._placement = Placement(topics, counts)
        self._counts = self._placement.counts
        self._lanes: dict[TopicPartition, Lane] = {}
        self._followers: set[KafkaFollower] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._producer: Any = None
        self._producing = asyncio.Lock()
        self._asker: Any = None
        self._asking = asyncio.Lock()
        self._reader = Reader(self)
        self._open = False
        self.waiting = 0  # bytes that wait to be sent
        self.identity = ""

    # The log

    async def open(self) -> None:
        deadline = time.monotonic() + self._open_within
        while True:
            try:
                await self._set_up()
                await self.producer()
            except (KafkaError, OSError, TimeoutError) as error:
                await self._let_go()
                if isinstance(error, AuthenticationFailedError) or time.monotonic() > deadline:
                    raise LogUnavailableError(
                        f"Kafka at {self._cluster} can not be used: {error}; see QJB_LOG"
                    ) from error
                await asyncio.sleep(0.5)
            else:
                break
        self._open = True

    async def append(self, topic: str, records: Sequence[Record]) -> list[Position]:
        if not self._open:
            raise AppendFailedError("the log is closed")
        if self.waiting > WAITING_BYTES:
            raise AppendFailedError("too much waits for Kafka already")
        shares: dict[int, list[int]] = {}
        sizes: list[int] = []
        for index, record in enumerate(records):
            sizes.append(size_of(record))
            check_size(sizes[-1])
            shares.setdefault(self._placement.place(topic, record), []).append(index)
        if len(shares) == 1:
            ((partition, _),) = shares.items()
            return await self._lane(topic, partition).append(records, sum(sizes))
        results = await asyncio.gather(
            *(
                self._lane(topic, partition).append(
                    [records[i] for i in share], sum(sizes[i] for i in share)
                )
                for partition, share in shares.items()
            ),
            return_exceptions=True,
        )
        return _merged(list(shares.values()), results)

    async def read(self, topic: str, partition: int, start: int, limit: int = 1000) -> list[Stored]:
        where = TopicPartition(topic, partition)
        return await self._patiently(lambda: self._reader.read(where, start, limit))

    def follow(self, starts: Mapping[TopicPartition, int]) -> "KafkaFollower":
        for where in starts:
            if not 0 <= where.partition < self._counts[where.topic]:
                raise KeyError(where)
        follower = KafkaFollower(self, starts)
        self._followers.add(follower)
        return follower

    async def bounds(self, topic: str, partition: int) -> Bounds:
        where = TopicPartition(topic, partition)
        return (await self._patiently(lambda: self.ask_bounds([where])))[where]

    def partitions(self, topic: str) -> int:
        return self._counts[topic]

    def partition_of(self, topic: str, key: bytes) -> int:
        return partition_for(key, self._counts[topic])

    async def close(self) -> None:
        self._open = False
        for follower in list(self._followers):
            await follower.close()
        if lanes := [task for lane in self._lanes.values() if (task := lane.task)]:
            await asyncio.wait(lanes, timeout=CLOSE_WITHIN)
            for task in lanes:
                task.cancel()
            await asyncio.wait(lanes)
        await self._let_go()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_WITHIN)

    # What lanes, followers and the reader use

    async def producer(self) -> Any:
        """The producer, which is made anew after it broke."""
        async with self._producing:
            if self._producer is None:
                self._producer = await self._make_producer()
            return self._producer

    async def replace_producer(self, broken: Any) -> None:
        """Use *broken* no more: what was sent with it may be in doubt."""
        async with self._producing:
            if self._producer is broken:
                self._producer = None
                self._later(broken.stop())

    async def consumer(self) -> Any:
        """A new consumer, connected, of no partitions yet."""
        consumer = AIOKafkaConsumer(
            **self._cluster.options(),
            client_id="qjb",
            request_timeout_ms=int(REQUEST * 1000),
            retry_backoff_ms=int(BACKOFF * 1000),
            fetch_max_wait_ms=int(LONG_POLL * 1000),
            fetch_max_bytes=16 * 1024 * 1024,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            enable_auto_commit=False,
            auto_offset_reset="none",
        )
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        return consumer

    async def ask_bounds(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, Bounds]:
        """The bounds of *places*; on a connection that no fetch holds up. Raises `KafkaError`."""
        asker = await self._ask_with()
        names = {where: self.named(where) for where in places}
        try:
            async with asyncio.timeout(REQUEST):
                first, following = await asyncio.gather(
                    asker.beginning_offsets(list(names.values())),
                    asker.end_offsets(list(names.values())),
                )
        except (KafkaError, TimeoutError):
            self._asker = None if self._asker is asker else self._asker
            self._later(asker.stop())
            raise
        return {where: Bounds(first[name], following[name]) for where, name in names.items()}

    def named(self, where: TopicPartition) -> KafkaPartition:
        """The partition as the cluster calls it."""
        return KafkaPartition(self._prefix + where.topic, where.partition)

    def stored(self, record: ConsumerRecord) -> Stored:
        """A consumer's record as ours."""
        return Stored(
            record.topic[len(self._prefix) :],
            record.partition,
            record.offset,
            record.timestamp,
            record.key,
            record.value or b"",
            tuple(record.headers),
        )

    def forget(self, follower: "KafkaFollower") -> None:
        """It was closed."""
        self._followers.discard(follower)

    def start(self, what: Awaitable[None], name: str) -> "asyncio.Task[None]":
        """A task that this log owns."""
        task: asyncio.Task[None] = asyncio.create_task(_awaited(what), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Its own

    def _later(self, stop: Awaitable[None]) -> None:
        self.start(_quietly(stop), "kafka-stop")

    def _lane(self, topic: str, partition: int) -> "Lane":
        where = TopicPartition(topic, partition)
        if (lane := self._lanes.get(where)) is None:
            lane = self._lanes[where] = Lane(self, where)
        return lane

    async def _make_producer(self) -> Any:
        producer = AIOKafkaProducer(
            **self._cluster.options(),
            client_id="qjb",
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=BATCH_LIMIT,
            max_request_size=2 * BATCH_LIMIT,
            request_timeout_ms=int(REQUEST * 1000),
            retry_backoff_ms=int(BACKOFF * 1000),
        )
        # A batch whose leader is unknown would be given up after a request's time, in doubt and
        # with a hole in the sequence numbers. It can wait: its node comes back or is replaced.
        producer._message_accumulator._batch_ttl = float("inf")
        try:
            async with asyncio.timeout(REQUEST):
                await producer.start()
        except BaseException:
            await _quietly(producer.stop())
            raise
        return producer

    async def _ask_with(self) -> Any:
        async with self._asking:
            if self._asker is None:
                self._asker = await self.consumer()
            return self._asker

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        deadline = time.monotonic() + PATIENCE
        while True:
            if not self._open:
                raise LogUnavailableError("the log is closed")
            try:
                return await ask()
            except (KafkaError, OSError, TimeoutError) as error:
                if time.monotonic() > deadline:
                    raise LogUnavailableError(f"Kafka does not answer: {error}") from error
                log.warning("log.retry", error=repr(error))
            await asyncio.sleep(BACKOFF)

    async def _let_go(self) -> None:
        stops = [self._reader.stop()]
        stops += [client.stop() for client in (self._producer, self._asker) if client is not None]
        self._producer = self._asker = None
        await asyncio.gather(*(_quietly(stop) for stop in stops))

    # Topics

    async def _set_up(self) -> None:
        admin = AIOKafkaAdminClient(
            **self._cluster.options(), client_id="qjb", request_timeout_ms=int(REQUEST * 1000)
        )
        try:
            await admin.start()
            cluster = await admin.describe_cluster()
            self.identity = f"kafka-{cluster['cluster_id']}-{self._prefix}"
            await self._create(admin)
            await self._check(admin)
        finally:
            await admin.close()

    async def _create(self, admin: Any) -> None:
        there = set(await admin.list_topics())
        missing = [
            NewTopic(
                self._prefix + name,
                self._counts[name],
                -1,  # copies: as the cluster has it
                replica_assignments={},
                topic_configs=configs(topic),
            )
            for name, topic in self._topics.items()
            if self._prefix + name not in there
        ]
        if not missing:
            return
        answer = await admin.create_topics(missing)
        wrong = []
        for name, code, *why in answer.topic_errors:
            if code and for_code(code) is not TopicAlreadyExistsError:
                wrong.append(f"{name}: missing, and could not be made: {_reason(code, why)}")
        if wrong:
            raise TopicMisconfiguredError("; ".join(wrong))
        log.info("log.topics_made", topics=[topic.name for topic in missing])

    async def _check(self, admin: Any) -> None:
        described = await self._described(admin)
        found = await self._configs(admin)
        wrong: list[str] = []
        at_risk: dict[str, list[str]] = {}
        for name, topic in self._topics.items():
            full = self._prefix + name
            partitions = described[full]["partitions"]
            config = found.get(full, {})
            wrong += findings(topic, full, len(partitions), self._counts[name], config)
            self._counts[name] = len(partitions)
            for risk in risks([len(p["replicas"]) for p in partitions], config):
                at_risk.setdefault(risk, []).append(full)
        if wrong:
            raise TopicMisconfiguredError("; ".join(wrong))
        for risk, names in at_risk.items():
            log.warning("log.risk", risk=risk, topics=len(names))

    async def _described(self, admin: Any) -> dict[str, Any]:
        """Every topic, once each partition has a leader."""
        names = [self._prefix + name for name in self._topics]
        deadline = time.monotonic() + REQUEST
        while True:
            answer = {topic["topic"]: topic for topic in await admin.describe_topics(names)}
            late = [name for name in names if not _ready(answer.get(name))]
            if not late:
                return answer
            if time.monotonic() > deadline:
                raise KafkaError(f"topics that are not ready: {', '.join(late)}")
            await asyncio.sleep(0.05)

    async def _configs(self, admin: Any) -> dict[str, dict[str, str | None]]:
        names = [self._prefix + name for name in self._topics]
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        found: dict[str, dict[str, str | None]] = {}
        for answer in await admin.describe_configs(asked):
            for code, _, _, name, entries in answer.resources:
                if for_code(code) is TopicAuthorizationFailedError:
                    log.warning("log.unchecked", topic=name, reason="not allowed to see its setup")
                found[name] = {entry[0]: entry[1] for entry in entries}
        return found


@dataclass(slots=True)
class _Waiting:
    """Records of one append that go to one partition."""

    records: Sequence[Record]
    size: int
    done: "asyncio.Future[list[Position]]"
    sent: int = 0  # records that went into batches
    base: int | None = None  # the first one's offset
    positions: list[Position] | None = None


class Lane:
    """Sends the records of one partition in order, one batch at a time."""

    def __init__(self, owner: KafkaLog, where: TopicPartition) -> None:
        self._owner = owner
        self._where = where
        self._name = owner.named(where)
        self._queue: deque[_Waiting] = deque()
        self.task: asyncio.Task[None] | None = None

    async def append(self, records: Sequence[Record], size: int) -> list[Position]:
        """Like the log's."""
        waiting = _Waiting(records, size, asyncio.get_running_loop().create_future(), positions=[])
        self._queue.append(waiting)
        self._owner.waiting += size
        waiting.done.add_done_callback(lambda _: self._subtract(size))
        if self.task is None:
            self.task = asyncio.create_task(self._send_all(), name=f"lane-{self._where}")
        return await waiting.done

    def _subtract(self, size: int) -> None:
        self._owner.waiting -= size

    async def _send_all(self) -> None:
        try:
            while self._queue:
                await self._send()
        except asyncio.CancelledError:
            self._refuse_all(AppendUnknownError("the log was closed meanwhile"))
            raise
        except Exception as error:
            log.exception("log.lane_failed", topic=self._where.topic)
            self._refuse_all(AppendUnknownError(f"appending failed: {error!r}"))
        finally:
            self.task = None

    def _refuse_all(self, error: QjbError) -> None:
        for waiting in self._queue:
            if not waiting.done.done():
                waiting.done.set_exception(error)
        self._queue.clear()

    async def _send(self) -> None:
        producer = await self._producer()
        batch = producer.create_batch()
        shares = self._fill(batch)
        try:
            sent = await producer.send_batch(
                batch, self._name.topic, partition=self._name.partition
            )
            answer = await sent
        except (KafkaError, TimeoutError) as error:
            await self._failed(producer, shares, error)
            return
        self._acknowledge(shares, answer.offset)

    async def _producer(self) -> Any:
        while True:
            try:
                return await self._owner.producer()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("log.no_producer", error=repr(error))
                await asyncio.sleep(1.0)

    def _fill(self, batch: Any) -> list[tuple[_Waiting, int]]:
        """Put what waits into *batch*, as far as it goes; how many of each append went in."""
        shares = []
        for waiting in self._queue:
            before = waiting.sent
            for record in itertools.islice(waiting.records, before, None):
                # Without a value a record with a key deletes, where the topic is compacted.
                value = record.value or (None if record.key is not None else b"")
                if not batch.append(
                    timestamp=None, key=record.key, value=value, headers=list(record.headers)
                ):
                    break
                waiting.sent += 1
            if waiting.sent > before:
                shares.append((waiting, waiting.sent - before))
            if waiting.sent < len(waiting.records):
                break
        batch.close()
        return shares

    def _acknowledge(self, shares: list[tuple[_Waiting, int]], offset: int) -> None:
        if offset < 0:  # stored before, by a try whose answer was lost; where, is not known
            self._refuse(shares, AppendUnknownError("Kafka stored it, but does not say where"))
            return
        for waiting, count in shares:
            assert waiting.positions is not None
            partition = self._where.partition
            waiting.positions += [Position(partition, offset + i) for i in range(count)]
            offset += count
            if waiting.sent == len(waiting.records):
                self._queue.remove(waiting)
                if not waiting.done.done():  # its caller may have been cancelled
                    waiting.done.set_result(waiting.positions)

    async def _failed(
        self, producer: Any, shares: list[tuple[_Waiting, int]], error: Exception
    ) -> None:
        log.error("log.append_failed", topic=self._where.topic, error=repr(error))
        self._refuse(shares, _refusal(error, self._where.topic))
        if not isinstance(error, _HARMLESS):
            await self._owner.replace_producer(producer)

    def _refuse(self, shares: list[tuple[_Waiting, int]], error: QjbError) -> None:
        for waiting, count in shares:
            self._queue.remove(waiting)
            refusal = error
            if waiting.sent > count:  # an earlier batch took its first records
                refusal = AppendUnknownError(error.message)
            if not waiting.done.done():
                waiting.done.set_exception(refusal)


class KafkaFollower:
    """A `Follower` with a consumer of its own, which is made anew when it hears nothing."""

    def __init__(self, owner: KafkaLog, starts: Mapping[TopicPartition, int]) -> None:
        self._owner = owner
        self._positions = dict(starts)
        self._names = {owner.named(where): where for where in starts}
        self._consumer: Any = None
        self._closed = False
        self._watched = time.monotonic()
        self._watcher: asyncio.Task[None] | None = None
        self._seen: dict[TopicPartition, int] = {}  # positions at the last look
        self._silent = False

    def positions(self) -> Mapping[TopicPartition, int]:
        return self._positions

    async def next(self, wait: float) -> Sequence[Stored]:
        deadline = time.monotonic() + wait
        while not self._closed:
            left = max(0.0, deadline - time.monotonic())
            try:
                found = await self._fetch(left)
            except TopicAuthorizationFailedError as error:
                raise LogUnavailableError(f"Kafka does not let us read: {error}") from error
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("log.follower_retry", error=repr(error))
                await asyncio.sleep(min(left, BACKOFF))
                found = []
            if found or time.monotonic() >= deadline:
                return found
        return []

    async def _fetch(self, wait: float) -> list[Stored]:
        if self._silent:
            await self._drop()
        if self._consumer is None:
            self._consumer = await self._connect()
        try:
            batches = await self._consumer.getmany(timeout_ms=int(wait * 1000), max_records=BATCH)
        except OffsetOutOfRangeError:
            await self._reposition()
            return []
        except ConsumerStoppedError:
            return []
        found = []
        for name, batch in batches.items():
            self._positions[self._names[name]] = batch[-1].offset + 1
            found += [self._owner.stored(record) for record in batch]
        if not found:
            self._look_after()
        return found

    async def _connect(self) -> Any:
        consumer = await self._owner.consumer()
        consumer.assign(list(self._names))
        for name, where in self._names.items():
            consumer.seek(name, self._positions[where])
        self._silent = False
        self._seen = {}
        if self._closed:
            await consumer.stop()
        return consumer

    async def _reposition(self) -> None:
        """Go on with the oldest record that is kept, or at the end of a log that has shrunk."""
        bounds = await self._owner.ask_bounds(list(self._positions))
        for name, where in self._names.items():
            position = self._positions[where]
            kept = min(max(position, bounds[where].first), bounds[where].next)
            if kept < position:
                log.error("log.shrunk", topic=where.topic, was=position, now=kept)
            if kept != position:
                self._positions[where] = kept
            self._consumer.seek(name, kept)

    def _look_after(self) -> None:
        if time.monotonic() - self._watched < WATCH or self._watcher is not None:
            return
        self._watched = time.monotonic()
        self._watcher = self._owner.start(self._watch(), "kafka-watch")

    async def _watch(self) -> None:
        """Whether there is something to hear that this consumer does not hear.

        aiokafka's consumer may fall silent after a node was restarted, without an error.
        """
        try:
            bounds = await self._owner.ask_bounds(list(self._positions))
            positions = {
                where: await self._consumer.position(name) for name, where in self._names.items()
            }
        except (KafkaError, OSError, TimeoutError, AttributeError, ConsumerStoppedError):
            return  # nothing can be heard by anybody
        finally:
            self._watcher = None
        behind = {w: p for w, p in positions.items() if p < bounds[w].next}
        if any(self._seen.get(where) == position for where, position in behind.items()):
            log.warning("log.follower_silent", behind=len(behind))
            self._silent = True
        self._seen = behind

    async def _drop(self) -> None:
        consumer, self._consumer, self._silent = self._consumer, None, False
        if consumer is not None:
            await _quietly(consumer.stop())

    async def close(self) -> None:
        self._closed = True
        self._owner.forget(self)
        if self._watcher is not None:
            self._watcher.cancel()
        if self._consumer is not None:
            await _quietly(self._consumer.stop())


class Reader:
    """Reads history, one call at a time, on a consumer of its own."""

    def __init__(self, owner: KafkaLog) -> None:
        self._owner = owner
        self._lock = asyncio.Lock()
        self._consumer: Any = None
        self._next: tuple[TopicPartition, int] | None = None  # what comes without seeking

    async def read(self, where: TopicPartition, start: int, limit: int) -> list[Stored]:
        """Like the log's, but raises `KafkaError`."""
        bounds = (await self._owner.ask_bounds([where]))[where]
        start = max(start, bounds.first)
        if start >= bounds.next:
            return []
        async with self._lock:
            try:
                return await self._read(where, start, limit, bounds.next)
            except BaseException:
                await self.stop()
                raise

    async def _read(self, where: TopicPartition, start: int, limit: int, end: int) -> list[Stored]:
        if self._consumer is None:
            self._consumer = await self._owner.consumer()
        name = self._owner.named(where)
        if self._next != (where, start):
            self._consumer.assign([name])
            self._consumer.seek(name, start)
        found: list[Stored] = []
        async with asyncio.timeout(REQUEST):
            while not found and await self._consumer.position(name) < end:
                batches = await self._consumer.getmany(timeout_ms=100, max_records=limit)
                found += [self._owner.stored(r) for batch in batches.values() for r in batch]
        self._next = (where, found[-1].offset + 1) if found else None
        if not found or found[-1].offset + 1 >= end:
            self._consumer.unsubscribe()  # nobody waits for what comes
            self._next = None
        return found

    async def stop(self) -> None:
        """Disconnect; the next read connects again."""
        consumer, self._consumer, self._next = self._consumer, None, None
        if consumer is not None:
            await _quietly(consumer.stop())


# Errors after which it is certain that nothing was stored, and the producer is sound.
_HARMLESS = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)


def _refusal(error: Exception, topic: str) -> QjbError:
    if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
        return RecordTooLargeError(f"Kafka's limit for {topic} is lower than ours: {error}")
    if isinstance(error, TopicAuthorizationFailedError):
        return AppendFailedError(f"Kafka does not let us write to {topic}")
    return AppendUnknownError(f"Kafka did not say whether it stored the records: {error}")


def _merged(
    shares: Sequence[Sequence[int]], results: Sequence[list[Position] | BaseException]
) -> list[Position]:
    """The positions in the order of the records; the worst that happened, if something did."""
    errors = [result for result in results if isinstance(result, BaseException)]
    if errors:
        stored_some = len(errors) < len(results)
        first = next((e for e in errors if isinstance(e, AppendUnknownError)), errors[0])
        if stored_some and not isinstance(first, AppendUnknownError):
            raise AppendUnknownError(f"some of the records were not stored: {first}") from first
        raise first
    positions: dict[int, Position] = {}
    for share, result in zip(shares, results, strict=True):
        assert isinstance(result, list)
        positions.update(zip(share, result, strict=True))
    return [positions[index] for index in range(len(positions))]


def _ready(topic: Any) -> bool:
    return (
        topic is not None
        and not topic["error_code"]
        and bool(topic["partitions"])
        and all(partition["leader"] >= 0 for partition in topic["partitions"])
    )


def _reason(code: int, why: Sequence[str | None]) -> str:
    return next((text for text in why if text), for_code(code).__name__)


async def _awaited(what: Awaitable[None]) -> None:
    await what


async def _quietly(stop: Awaitable[None]) -> None:
    """Let go of a client, whatever state it is in."""
    try:
        async with asyncio.timeout(CLOSE_WITHIN):
            await stop
    except (KafkaError, OSError, TimeoutError) as error:
        log.info("log.client_stopped", error=repr(error))
