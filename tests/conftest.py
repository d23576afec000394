"""What all tests may use: a real Kafka, started once if asked for; the product as processes."""

import asyncio.constants
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest
import pytest_asyncio

from tests.support.device_programs import PROGRAMS
from tests.support.devices import Books, Children
from tests.support.kafka import KafkaCluster, NoKafkaError
from tests.support.systems import System, embedded_system, kafka_system

# Loops are in debug mode (`asyncio_debug`), which notes where each step comes from: ten frames of
# each would double the time that tests take.
asyncio.constants.DEBUG_STACK_DEPTH = 1

# How long an example takes says what else the machine does.
hypothesis.settings.register_profile("whatever time", deadline=None)
hypothesis.settings.load_profile("whatever time")


@pytest.fixture(scope="session")
def kafka(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The bootstrap servers of a Kafka: our own, or the one that QJB_TEST_KAFKA names.

    Tests share it, so each takes a prefix of its own for its topics.
    """
    if found := os.environ.get("QJB_TEST_KAFKA"):
        yield found
        return
    with _cluster(tmp_path_factory.mktemp("kafka"), 1, request) as cluster:
        yield cluster.bootstrap


@pytest.fixture(scope="session")
def three_nodes(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[KafkaCluster]:
    """Three nodes to break; who breaks one mends it."""
    with _cluster(tmp_path_factory.mktemp("kafka-3"), 3, request) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def secured(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[KafkaCluster]:
    """One node that wants TLS, a user and rights at `secured_port`."""
    with _cluster(tmp_path_factory.mktemp("kafka-secured"), 1, request, secured=True) as cluster:
        yield cluster


@contextmanager
def _cluster(
    folder: Path, count: int, request: pytest.FixtureRequest, *, secured: bool = False
) -> Iterator[KafkaCluster]:
    """Runs while the block does; its logs are kept if a test failed."""
    cluster = KafkaCluster.make(folder, count, is_brief=True)
    try:
        if secured:
            cluster.secure()
        yield cluster.up()
    except NoKafkaError as error:
        if os.environ.get("CI"):
            pytest.fail(f"no Kafka, which must be here in CI: {error}", pytrace=False)
        pytest.skip(str(error))
    finally:
        cluster.down(hard=True)
        for node in cluster.nodes:
            shutil.rmtree(node.home / "data", ignore_errors=True)
        if not request.session.testsfailed:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[System]:
    """`qjb up`, as a process."""
    system = embedded_system(tmp_path)
    await system.start()
    yield system
    system.stop()
    print(system.told())


@pytest.fixture
async def on_kafka(tmp_path: Path, kafka: str) -> AsyncIterator[System]:
    """Every role as processes, on Kafka, with topics of their own."""
    system = kafka_system(tmp_path, kafka, prefix=f"t{uuid.uuid4().hex[:8]}.")
    await system.start()
    yield system
    system.stop()
    print(system.told())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def children() -> AsyncIterator[Children]:
    """Where programs near devices run, for all tests of a module."""
    made = Children(2, PROGRAMS)
    await made.start()
    yield made
    await made.end()


@pytest.fixture
def books(tmp_path: Path) -> Books:
    """Those of a device that behaves badly."""
    return Books(tmp_path)
