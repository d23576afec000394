"""The four logs, each under the same tests."""

import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from broker.transports.cluster import cluster_of
from broker.transports.embedded import EmbeddedLog
from broker.transports.kafka import KafkaLog
from broker.transports.log import Log
from broker.transports.memory import MemoryLog
from broker.transports.topics import EVENTS, INBOX, REQUESTS, STATE, STATUS, TOPICS
from broker.transports.unix import LogServer, RemoteLog
from broker.transports.unix.address import socket_of
from schemas.topics import PROGRAMS
from tests.support.watching import nothing_blocks, watch

__all__ = ["nothing_blocks", "watch"]

USED = {name: TOPICS[name] for name in (EVENTS, INBOX, PROGRAMS.name, REQUESTS, STATE, STATUS)}
PARTITIONS = 2  # of EVENTS and of the others that may have several

OpenLog = Callable[[], Log]


class Served(RemoteLog):
    """An embedded log that is reached over its socket only, as by another process."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, topics=USED)
        self.owner = EmbeddedLog(path, topics=USED, partitions=PARTITIONS)

    async def open(self) -> None:
        await self.owner.open()
        self.server = LogServer(self.owner, socket_of(self.path))
        await self.server.start()
        await super().open()

    async def close(self) -> None:
        await super().close()
        await self.server.close()
        await self.owner.close()


@pytest.fixture(
    params=["memory", "embedded", "served", pytest.param("kafka", marks=pytest.mark.kafka)]
)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
async def make(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[OpenLog]:
    """Makes a log, not opened yet; every time over the same content, as after a restart."""
    if kind == "memory":
        log = MemoryLog(PARTITIONS)
        yield lambda: log
    elif kind == "embedded":
        yield lambda: EmbeddedLog(tmp_path / "log.db", topics=USED, partitions=PARTITIONS)
    elif kind == "served":
        yield lambda: Served(tmp_path / "log.db")
    else:
        servers = request.getfixturevalue("kafka")
        prefix = f"t{uuid.uuid4().hex[:8]}."
        cluster = cluster_of(f"kafka://{servers}")
        yield lambda: KafkaLog(cluster, topics=USED, partitions=PARTITIONS, prefix=prefix)
        await delete_topics(servers, prefix)


@pytest.fixture
async def log(make: OpenLog) -> AsyncIterator[Log]:
    """One of the four, open and empty."""
    log = make()
    await log.open()
    yield log
    await log.close()


async def delete_topics(servers: str, prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        names = await admin.list_topics()
        await admin.delete_topics([name for name in names if name.startswith(prefix)])
    finally:
        await admin.close()
