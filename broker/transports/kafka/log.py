"""`KafkaLog`: the promises of a log, kept by lanes, followers and a reader."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import structlog
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from broker.errors import AppendFailedError, LogUnavailableError
from broker.transports.cluster import Cluster
from broker.transports.kafka.clients import BACKOFF, TROUBLE, Clients
from broker.transports.kafka.follower import KafkaFollower
from broker.transports.kafka.history import Reader
from broker.transports.kafka.lanes import Lanes
from broker.transports.kafka.setup import TopicSetup
from broker.transports.log import Bounds, Position, TopicPartition, check_size, size_of
from broker.transports.placement import Placement
from broker.transports.steady import LogTime
from broker.transports.topics import TOPICS, Topic, partition_for
from schemas.records import Record, Stored

log = structlog.get_logger()

OPEN_WITHIN = 30.0  # seconds in which a cluster must be found at first
PATIENCE = 30.0  # seconds in which a read or a question is tried again: a node's failover takes 15

# What waiting does not mend.
LASTING = (
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    ssl.SSLCertVerificationError,
)

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
        self._topics = topics
        self._open_within = open_within
        counts = {
            name: topic.partitions if partitions is None else min(partitions, topic.partitions)
            for name, topic in topics.items()
        }
        self._placement = Placement(topics, counts)
        self._clients = Clients(cluster, prefix)
        self._lanes = Lanes(self._clients)
        self._reader = Reader(self._clients)
        self._followers: set[KafkaFollower] = set()
        self._open = False
        self._time = LogTime()
        self.identity = ""

    # The log

    async def open(self) -> None:
        deadline = time.monotonic() + self._open_within
        while not self._open:
            self._open = await self._try_to_open(deadline)

    async def append(self, topic: str, records: Sequence[Record]) -> list[Position]:
        if not self._open:
            raise AppendFailedError("the log is closed")
        shares: dict[int, list[int]] = {}
        size = 0
        for index, record in enumerate(records):
            check_size(of_one := size_of(record))
            size += of_one
            shares.setdefault(self._placement.place(topic, record), []).append(index)
        return await self._lanes.append(topic, records, shares, size)

    async def read(
        self, topic: str, partition: int, start: int, limit: int = 1000, briefly: bool = False
    ) -> list[Stored]:
        where = TopicPartition(topic, partition)
        return await self._patiently(lambda: self._reader.read(where, start, limit))

    def follow(self, starts: Mapping[TopicPartition, int]) -> KafkaFollower:
        for where in starts:
            if not 0 <= where.partition < self._placement.counts[where.topic]:
                raise KeyError(where)
        follower = KafkaFollower(self._clients, starts, self._followers.discard)
        self._followers.add(follower)
        return follower

    async def bounds(self, topic: str, partition: int) -> Bounds:
        where = TopicPartition(topic, partition)
        return (await self._patiently(lambda: self._clients.ask_bounds([where])))[where]

    def partitions(self, topic: str) -> int:
        return self._placement.counts[topic]

    def partition_of(self, topic: str, key: bytes) -> int:
        return partition_for(key, self._placement.counts[topic])

    def now(self) -> float:
        """By the cluster's clocks and by ours: old is what both call so."""
        return min(self._time.now(), self._clients.newest / 1000)

    async def watch(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        self._open = False
        for follower in list(self._followers):
            await follower.close()
        await self._lanes.finish()
        await self._reader.stop()
        await self._clients.stop()

    # Its own

    async def _try_to_open(self, deadline: float) -> bool:
        try:
            await self._set_up()
            await self._clients.producer()
        except TROUBLE as error:
            await self._clients.stop()
            cause = await self._clients.refusal() or error
            if isinstance(cause, LASTING) or time.monotonic() > deadline:
                raise LogUnavailableError(
                    f"Kafka at {self._clients.cluster} can not be used: {_in_words(cause)}; "
                    "see QJB_LOG"
                ) from error
            await asyncio.sleep(0.5)
            return False
        return True

    async def _set_up(self) -> None:
        admin = await self._clients.admin()
        try:
            prefix, counts = self._clients.prefix, self._placement.counts
            described = await admin.describe_cluster()
            self.identity = f"kafka-{described['cluster_id']}-{prefix}"
            counts |= await TopicSetup(admin, self._topics, counts, prefix).ensure()
        finally:
            await admin.close()

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        deadline = time.monotonic() + PATIENCE
        while True:
            if not self._open:
                raise LogUnavailableError("the log is closed")
            try:
                return await ask()
            except TROUBLE as error:
                if time.monotonic() > deadline:
                    raise LogUnavailableError(f"Kafka does not answer: {error}") from error
                log.warning("log.retry", error=repr(error))
            await asyncio.sleep(BACKOFF)


def _in_words(error: Exception) -> str:
    match error:
        case SaslAuthenticationFailed():
            return "it does not accept this user, password and mechanism"
        case UnsupportedSaslMechanismError() | IllegalSaslStateError():
            return "it does not take a user and a password by this mechanism"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message}); ca_file names one that is"
        case KafkaConnectionError() | ConnectionResetError():
            return "it closes the connection: TLS (kafkas://) or a user is wanted there, or is not"
        case ConnectionRefusedError():
            return "nobody listens there"
        case OSError() if error.strerror:
            return error.strerror
        case _:
            return str(error) or "it does not answer"
