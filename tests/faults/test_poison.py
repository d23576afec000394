"""A poison among 200 good jobs: the good ones end in their first attempt, soon, in the same term."""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.common import line, percentile
from tests.support.poisons import ON_KAFKA, POISONS, good_jobs, place_of, terms
from tests.support.systems import System, embedded_system, kafka_system

FLOOR = 3.0  # s above twice the time without: machines are busy; benchmarks/poison.py tells
SETTLE = 1.0  # s in which a broker that is about to step down does so

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@dataclass(frozen=True, slots=True)
class Drill:
    """A system that runs, and the 99th percentile of good jobs without a poison."""

    system: System
    alone: float  # s


def _drill(system: System) -> Iterator[Drill]:
    async def begin() -> float:
        await system.start()
        async with place_of(system) as place:
            await good_jobs(place, count=20)  # warm
            return percentile((await good_jobs(place)).seconds, 0.99)

    try:
        yield Drill(system, asyncio.run(begin()))
    finally:
        system.stop()


@pytest.fixture(scope="module")
def alone_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    yield from _drill(embedded_system(tmp_path_factory.mktemp("poison")))


@pytest.fixture(scope="module")
def alone_on_kafka(tmp_path_factory: pytest.TempPathFactory, kafka: str) -> Iterator[Drill]:
    folder: Path = tmp_path_factory.mktemp("poison")
    prefix = f"t{uuid.uuid4().hex[:8]}."
    yield from _drill(kafka_system(folder, kafka, prefix, of_each=1, slots="2"))


async def survive(drill: Drill, name: str) -> None:
    system, before = drill.system, terms(drill.system)
    async with place_of(system) as place:
        found = await good_jobs(place, name)
        print(line(name, found.seconds), f"p99 without {drill.alone * 1e3:.0f} ms")
        await asyncio.sleep(SETTLE)

    assert set(found.states) == {"completed"}
    assert set(found.attempts) == {1}
    assert terms(system) == before, "the broker has stepped down"
    for process in system.processes.values():
        assert process.running is not None
        assert process.running.poll() is None, process.output()[-5_000:]
    assert percentile(found.seconds, 0.99) < 2 * drill.alone + FLOOR


@pytest.mark.parametrize("name", POISONS)
async def test_good_jobs_do_not_notice_it_on_the_embedded_log(
    alone_on_disk: Drill, name: str
) -> None:
    await survive(alone_on_disk, name)


@pytest.mark.kafka
@pytest.mark.parametrize("name", POISONS | ON_KAFKA)
async def test_good_jobs_do_not_notice_it_on_kafka(alone_on_kafka: Drill, name: str) -> None:
    await survive(alone_on_kafka, name)
