"""A task that is told to end ends, whatever it meets at that moment."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

import pytest

from broker.gateway.server import Gateway
from broker.judging.judge import Judge
from broker.transports.blobs import open_blobs
from broker.transports.log import Position, TopicPartition
from broker.transports.memory import LoseSilently, MemoryLog, Store
from broker.transports.tails import TailFollower
from broker.transports.topics import EVENTS, STATUS
from broker.worker.attempts import Attempts
from broker.worker.heartbeat import Heart
from broker.worker.host import Worker
from broker.worker.pools import Pool, Pools
from executors.scripted import ScriptedExecutor
from tests.support.awaiting import eventually
from tests.support.awaiting import steps as let_step
from tests.support.broker import Hand, Side, a_broker, hello_world, running, stored, until

STEPS = range(0, 60, 3)  # of the loop, after which it is told
SOON = 4.0  # s; patience with what hangs is longer


async def ends_when_told(work: Coroutine[Any, Any, None], steps: int) -> bool:
    """Whether *work* ends, and all that it has begun, if it is cancelled after so many steps."""
    before = asyncio.all_tasks()
    task = asyncio.create_task(work)
    await cancel(task, steps)
    return asyncio.all_tasks() <= before


async def cancel(task: "asyncio.Task[None]", steps: int) -> None:
    """Cancel *task* after so many steps of the loop, and give it a while to end."""
    await let_step(steps)
    task.cancel()
    await asyncio.wait({task}, timeout=SOON)


class Met(LoseSilently):
    """Says when somebody meets it."""

    def __init__(self, topic: str) -> None:
        super().__init__(topic)
        self.met = asyncio.Event()

    async def append(self, store: Store) -> list[Position]:
        self.met.set()
        return await super().append(store)


class Lingering:
    """A follower that takes a moment to close, as one on Kafka does."""

    def __init__(self, follower: TailFollower) -> None:
        self._follower = follower

    def __getattr__(self, name: str) -> Any:
        return getattr(self._follower, name)

    async def close(self) -> None:
        await let_step(8)
        await self._follower.close()


class Kafkaesque(MemoryLog):
    """A log whose followers linger."""

    def follow(self, starts: Mapping[TopicPartition, int]) -> Any:
        return Lingering(super().follow(starts))


@pytest.mark.parametrize("steps", range(20))
async def test_a_broker_ends_when_told_though_it_steps_down_at_that_moment(steps: int) -> None:
    log = Kafkaesque(1)
    broker = a_broker(log)
    async with running(Hand(log, runs=True)):
        task = asyncio.create_task(broker.run())
        await until(broker.active.is_set)
        fault = Met(EVENTS)
        with log.fault(fault):
            await Side(log, open_blobs("memory:///")).submit("j1", "j2")
            await fault.met.wait()
            await cancel(task, steps)

        assert not [left for left in asyncio.all_tasks() if left.get_name().startswith("broker")]


@pytest.mark.parametrize("steps", STEPS)
async def test_a_broker_ends_when_told_wherever_it_is(steps: int) -> None:
    assert await ends_when_told(a_broker(MemoryLog(1)).run(), 3 * steps)


@pytest.mark.parametrize("steps", STEPS)
async def test_a_worker_ends_when_told_wherever_it_is(steps: int) -> None:
    executor = ScriptedExecutor()
    worker = Worker(
        MemoryLog(), open_blobs("memory:///"), [Pool("p", executor, 1)], "w1", judge=Judge()
    )
    assert await ends_when_told(worker.run(), steps)


@pytest.mark.parametrize("steps", range(6))
async def test_a_heart_that_is_to_beat_at_once_ends_when_told(steps: int) -> None:
    log = MemoryLog()
    heart = Heart(log, Attempts(1.0), "w1", "i1", Pools([]))
    task = asyncio.create_task(heart.run())
    await eventually(lambda: stored(log, STATUS))
    heart.beat_now()
    await cancel(task, steps)

    assert task.cancelled()


@pytest.mark.parametrize("steps", STEPS)
async def test_a_gateway_ends_when_told_wherever_it_is(steps: int) -> None:
    gateway = Gateway(MemoryLog(), open_blobs("memory:///"), [hello_world()], port=0)
    assert await ends_when_told(gateway.run(), 2 * steps)
