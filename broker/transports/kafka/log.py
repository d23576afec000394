"""`KafkaLog`: the promises of a log, kept by lanes, followers and a reader."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

import structlog
from aiokafka.errors import KafkaError

from broker.errors import AppendFailedError, LogUnavailableError
from broker.transports.base import BaseLog
from broker.transports.cluster import Cluster
from broker.transports.kafka.clients import BACKOFF, Clients
from broker.transports.kafka.follower import KafkaFollower
from broker.transports.kafka.history import Reader
from broker.transports.kafka.lanes import Lanes
from broker.transports.kafka.layout import LAYOUT, kept, name_of
from broker.transports.kafka.metadata import Found
from broker.transports.kafka.options import Options
from broker.transports.kafka.refusals import in_words, is_lasting
from broker.transports.kafka.setup import TopicSetup
from broker.transports.kafka.taking import TROUBLE
from broker.transports.log import Bounds, Position, Reach, TopicPartition, check_size, size_of
from broker.transports.placement import Placement
from broker.transports.steady import LogTime
from broker.transports.topics import TOPICS, Topic, is_committed, of_tenant
from schemas.records import Record, Stored

logger = structlog.get_logger()

RETRIED_FOR = 30.0  # s in which a read or a question is tried again: a failover takes 15

T = TypeVar("T")


class KafkaLog(BaseLog):
    """A `Log` on the cluster, under topics with *prefix* before their names.

    *partitions*: for topics that have several, if they are to be made.
    """

    reach = Reach.NETWORK

    def __init__(
        self,
        cluster: Cluster,
        *,
        topics: Mapping[str, Topic] = TOPICS,
        partitions: int | None = None,
        prefix: str = "",
        options: Options = Options(),  # noqa: B008 -- it is frozen
    ) -> None:
        self._options = options
        self._topics = {**topics, LAYOUT.name: LAYOUT}
        self._found: dict[str, Found] = {}
        self._looking: asyncio.Task[None] | None = None
        self._providing = asyncio.Lock()
        counts = {
            name: topic.partitions if partitions is None else min(partitions, topic.partitions)
            for name, topic in self._topics.items()
        }
        self.placement = Placement(self._topics, counts)
        self._clients = Clients(cluster, prefix, options.close_within)
        self._lanes = Lanes(self._clients)
        self._reader = Reader(self._clients)
        self._reader_of_committed = Reader(self._clients, committed=True)
        self._followers: set[KafkaFollower] = set()
        self.time = LogTime()
        self._open, self.identity = False, ""

    # The log

    async def open(self) -> None:
        deadline = time.monotonic() + self._options.open_within
        while not self._open:
            self._open = await self._try_to_open(deadline)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_on(), name="kafka-topics")

    async def provide(self, names: Collection[str]) -> None:
        async with self._providing:
            missing = {n: of_tenant(self._topics, n) for n in names if n not in self._topics}
            if missing:
                await self._patiently(lambda: self._provide(missing))

    async def _provide(self, topics: Mapping[str, Topic]) -> None:
        counts = {name: topic.partitions for name, topic in topics.items()}
        counts = await self._ensure(topics, counts)
        await self._place({**self._topics, **topics}, {**self.placement.counts, **counts})
        self._topics |= topics

    async def append(self, topic: str, records: Sequence[Record]) -> list[Position]:
        if not self._open:
            raise AppendFailedError("the log is closed")
        shares: dict[int, list[int]] = {}
        size = 0
        for index, record in enumerate(records):
            check_size(of_one := size_of(record))
            size += of_one
            shares.setdefault(self.placement.place(topic, record), []).append(index)
        return await self._lanes.append(topic, records, shares, size)

    async def read(self, topic: str, partition: int, start: int, limit: int = 1000) -> list[Stored]:
        where = TopicPartition(topic, partition)
        reader = self._reader_of_committed if is_committed(topic) else self._reader
        return await self._patiently(lambda: reader.read(where, start, limit))

    def content_of(self, topic: str) -> str:
        return self.identity + (self._found[topic].ident if topic in self._found else "")

    def follow(self, starts: Mapping[TopicPartition, int]) -> KafkaFollower:
        for where in starts:
            if not 0 <= where.partition < self.placement.counts[where.topic]:
                raise KeyError(where)
        watch = self._options.watch
        follower = KafkaFollower(self._clients, starts, self._followers.discard, watch)
        self._followers.add(follower)
        return follower

    async def bounds(self, topic: str, partition: int) -> Bounds:
        where = TopicPartition(topic, partition)
        return (await self._patiently(lambda: self._clients.ask_bounds([where])))[where]

    def now(self) -> float:
        """By the cluster's clocks and by ours: old is what both call so."""
        return min(self.time.now(), self._clients.taking.newest / 1000)

    async def watch(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        self._open = False
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        for follower in list(self._followers):
            await follower.close()
        await self._lanes.finish()
        await self._reader.stop()
        await self._reader_of_committed.stop()
        await self._clients.stop()

    # Its own

    async def _try_to_open(self, deadline: float) -> bool:
        try:
            counts = self.placement.counts
            counts |= await self._ensure(self._topics, counts)
            await self._clients.producer()
            await self._place(self._topics, counts)
        except TROUBLE as error:
            await self._clients.stop()
            cause = await self._clients.refusal() or error
            if is_lasting(cause) or time.monotonic() > deadline:
                raise LogUnavailableError(
                    f"Kafka at {self._clients.cluster} can not be used: {in_words(cause)}; "
                    "see QJB_LOG"
                ) from error
            await asyncio.sleep(0.5)
            return False
        return True

    async def _ensure(
        self, topics: Mapping[str, Topic], counts: Mapping[str, int]
    ) -> dict[str, int]:
        """Make and check *topics*; how many partitions each has."""
        admin = await self._clients.admin()
        try:
            described = await admin.describe_cluster()
            self.identity = f"kafka-{described['cluster_id']}-{self._clients.prefix}"
            return await TopicSetup(admin, topics, counts, self._clients.prefix).ensure()
        finally:
            await admin.close()

    async def _place(self, topics: Mapping[str, Topic], counts: Mapping[str, int]) -> None:
        """Have on record by how many partitions keys are placed, and keep to it."""
        try:
            self._found = await self._clients.ask_topics(topics)
        except NotImplementedError:
            logger.warning("log.topics_unwatched", reason="the cluster is older than Kafka 3.1")
        idents = {name: found.ident for name, found in self._found.items()}
        keys = {name: name_of(name, idents.get(name, "")) for name in topics}
        self.placement.placed |= await kept(keys, counts, self._reader.read, self._put_on_record)
        self.placement.counts |= counts

    async def _put_on_record(self, records: Sequence[Record]) -> None:
        shares, size = {0: range(len(records))}, sum(map(size_of, records))
        try:
            await self._lanes.append(LAYOUT.name, records, shares, size)
        except LogUnavailableError as error:
            raise KafkaError(error.message) from error

    async def _look_on(self) -> None:
        """Look now and then whether topics are what they were."""
        while self._found:
            await asyncio.sleep(self._options.look)
            try:
                found = await self._clients.ask_topics(self._topics)
                if self._heed(found):
                    await self._place(self._topics, self.placement.counts)
            except (*TROUBLE, NotImplementedError) as error:
                logger.warning("log.topics_unseen", error=repr(error))

    def _heed(self, found: Mapping[str, Found]) -> bool:
        """Follow what has changed; whether a topic was made anew. One that is not there may come."""
        counts, anew = self.placement.counts, False
        for name, topic in found.items():
            if name in self._found and topic.ident != self._found[name].ident:
                logger.error("log.topic_made_anew", topic=name, partitions=topic.partitions)
                anew, counts[name] = True, topic.partitions
                for follower in self._followers:
                    follower.start_over(name)
            elif topic.partitions > counts[name]:
                logger.info("log.partitions_added", topic=name, partitions=topic.partitions)
                added = range(counts[name], topic.partitions)
                counts[name] = topic.partitions
                for follower in self._followers:
                    follower.grown(name, added)
        self._found |= found
        return anew

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        deadline = time.monotonic() + RETRIED_FOR
        while True:
            if not self._open:
                raise LogUnavailableError("the log is closed")
            try:
                return await ask()
            except TROUBLE as error:
                if time.monotonic() > deadline:
                    raise LogUnavailableError(f"Kafka does not answer: {error}") from error
                logger.warning("log.retry", error=repr(error))
            await asyncio.sleep(BACKOFF)
