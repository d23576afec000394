"""The three logs, each under the same tests."""

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

USED = {name: TOPICS[name] for name in (EVENTS, INBOX, REQUESTS, STATE, STATUS)}
PARTITIONS = 2  # of EVENTS and of the others that may have several

OpenLog = Callable[[], Log]


@pytest.fixture(params=["memory", "embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
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
    else:
        servers = request.getfixturevalue("kafka")
        prefix = f"t{uuid.uuid4().hex[:8]}."
        cluster = cluster_of(f"kafka://{servers}")
        yield lambda: KafkaLog(cluster, topics=USED, partitions=PARTITIONS, prefix=prefix)
        await delete_topics(servers, [prefix + name for name in USED])


@pytest.fixture
async def log(make: OpenLog) -> AsyncIterator[Log]:
    """One of the three, open and empty."""
    log = make()
    await log.open()
    yield log
    await log.close()


async def delete_topics(servers: str, names: list[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.delete_topics(names)
    finally:
        await admin.close()
