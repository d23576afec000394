"""The connections to a cluster: one producer, one client that asks, consumers as needed."""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.transaction import InitProducerIdRequest

from broker.errors import SettingsError
from broker.transports import topics
from broker.transports.cluster import Cluster
from broker.transports.kafka.metadata import Found, TopicsRequest, found_in
from broker.transports.kafka.oauth import Tokens
from broker.transports.kafka.sessions import Sessions, check, log_in
from broker.transports.kafka.taking import TROUBLE, Taking
from broker.transports.kafka.topics import BATCH_LIMIT
from broker.transports.log import Bounds, TopicPartition

logger = structlog.get_logger()

REQUEST = 10.0  # seconds for one request; the producer then tries again, without duplicates
BACKOFF = 0.1  # seconds between two tries
LONG_POLL = 0.25  # seconds that a node holds a fetch which finds nothing
STOP_WITHIN = 10.0  # seconds for a client to let go


class Clients:
    """All connections of one log; *prefix* stands before the names of its topics there.

    *close_within*: seconds that what is being appended, or stopped, gets at the end.
    """

    def __init__(self, cluster: Cluster, prefix: str, close_within: float) -> None:
        self.cluster = cluster
        self.prefix = prefix
        self.close_within = close_within
        self.taking = Taking(prefix)
        self._tokens = None if cluster.grant is None else Tokens(cluster, cluster.grant)
        self._sessions = Sessions(_nothing if self._tokens is None else self._tokens.refresh)
        self._options: dict[str, Any] = {}  # as they were read last
        self._common = {
            "client_id": "qjb",
            "request_timeout_ms": int(REQUEST * 1000),
            "retry_backoff_ms": int(BACKOFF * 1000),
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self._producer: Any = None
        self._producing = asyncio.Lock()
        self._askers: dict[bool, Any] = {}  # one for topics of which only what is committed is read
        self._asking = asyncio.Lock()

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
                self.start(end_producer(broken), "kafka-stop")

    async def consumer(self, committed: bool) -> Any:
        """A new consumer, connected, of no partitions yet; *committed*: of nothing else."""
        consumer = AIOKafkaConsumer(
            **await self._reached(),
            **self._common,
            fetch_max_wait_ms=int(LONG_POLL * 1000),
            fetch_max_bytes=16 * 1024 * 1024,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed" if committed else "read_uncommitted",
        )
        self._keep_logged_in(consumer._client)
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        return consumer

    async def ask_bounds(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, Bounds]:
        """The bounds of *places*, all of them committed or none; on a connection that no fetch holds
        up. What stands behind an open transaction is not there yet, if so. Raises `KafkaError`.
        """
        committed = is_committed(places)
        asker = await self._ask_with(committed)
        names = {where: self.taking.named(where) for where in places}
        try:
            async with asyncio.timeout(REQUEST):
                first, following = await asyncio.gather(
                    asker.beginning_offsets(list(names.values())),
                    asker.end_offsets(list(names.values())),
                )
        except (KafkaError, TimeoutError):
            if self._askers.get(committed) is asker:
                del self._askers[committed]
            self.start(quietly(asker.stop()), "kafka-stop")
            raise
        return {where: Bounds(first[name], following[name]) for where, name in names.items()}

    async def ask_topics(self, names: Iterable[str]) -> dict[str, Found]:
        """The topics that are there, by their names without the prefix. Raises `KafkaError`."""
        client = (await self._ask_with(committed=False))._client
        request = TopicsRequest([self.prefix + name for name in names])
        async with asyncio.timeout(REQUEST):
            answer = await client.send(client.get_random_node(), request)
        return {name[len(self.prefix) :]: found for name, found in found_in(answer).items()}

    async def admin(self) -> Any:
        """A new client for administration, connected."""
        admin = AIOKafkaAdminClient(**await self._reached(), **self._common)
        try:
            await admin.start()
        except BaseException:
            await quietly(admin.close())
            raise
        return admin

    async def refusal(self) -> Exception | None:
        """What is wrong with a server that does not let us in; aiokafka's clients do not say."""
        options = await self._reached() | {"request_timeout_ms": int(REQUEST * 1000)}
        protocol = options.pop("security_protocol")
        options["security_protocol"] = protocol.removeprefix("SASL_")
        for server in options.pop("bootstrap_servers"):
            host, _, port = server.rpartition(":")
            try:
                connection = await create_conn(host, int(port), **options)
            except TROUBLE as error:
                return error
            try:
                if protocol.startswith("SASL_"):
                    await log_in(connection)
                await connection.send(MetadataRequest([]))
                check((await connection.send(InitProducerIdRequest(None, 0))).error_code)
            except TROUBLE as error:
                return error
            finally:
                connection.close()
        return None

    def start(self, what: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """A task that ends before these clients do."""
        task: asyncio.Task[None] = asyncio.create_task(what, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        """Disconnect, and wait for the tasks; what is asked for later connects again."""
        producer, self._producer = self._producer, None
        askers, self._askers = self._askers, {}
        for asker in askers.values():
            await quietly(asker.stop())
        if producer is not None:
            await end_producer(producer)
        await self._sessions.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.close_within)

    async def _reached(self) -> dict[str, Any]:
        """The arguments that say how to reach the cluster; as they were, where a file is gone now.

        Raises `SettingsError` if they never were good.
        """
        try:
            self._options = await asyncio.to_thread(self.cluster.options)
        except SettingsError as error:
            if not self._options:
                raise
            logger.warning("log.setting_unusable", error=error.message)
        if self._tokens is None:
            return dict(self._options)
        return self._options | {"sasl_oauth_token_provider": self._tokens}

    def _keep_logged_in(self, client: Any) -> None:
        if self.cluster.user is not None:
            self._sessions.keep(client)

    async def _make_producer(self) -> Any:
        producer = AIOKafkaProducer(
            **await self._reached(),
            **self._common,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=BATCH_LIMIT,
            max_request_size=2 * BATCH_LIMIT,
        )
        self._keep_logged_in(producer.client)
        # A batch whose leader is unknown would be given up after a request's time, in doubt and
        # with a hole in the sequence numbers. It can wait: its node comes back or is replaced.
        producer._message_accumulator._batch_ttl = float("inf")
        try:
            async with asyncio.timeout(REQUEST):
                await producer.start()
        except BaseException:
            await end_producer(producer)
            raise
        return producer

    async def _ask_with(self, committed: bool) -> Any:
        async with self._asking:
            if committed not in self._askers:
                self._askers[committed] = await self.consumer(committed)
            return self._askers[committed]


def is_committed(places: Iterable[TopicPartition]) -> bool:
    """Whether of *places* only what is committed is read."""
    return any(topics.is_committed(where.topic) for where in places)


async def end_producer(producer: Any) -> None:
    """Let go of it; what it has not sent by then is not sent, or nobody knows."""
    await quietly(producer.stop())
    # If that took too long, it still waits for what can not be sent, and tries for ever.
    await quietly(producer._sender.close())
    await quietly(producer.client.close())


async def _nothing() -> None:
    """A user and a password are there always."""


async def quietly(stop: Awaitable[None]) -> None:
    """Let go of a client, whatever state it is in."""
    try:
        async with asyncio.timeout(STOP_WITHIN):
            await stop
    except (KafkaError, OSError, TimeoutError) as error:
        logger.info("log.client_stopped", error=repr(error))
