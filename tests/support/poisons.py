"""What could stop everybody, thrown in among good jobs: a table by name, and how the good ones fare."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import aiohttp

from broker.transports.topics import (
    EVENTS,
    INBOX,
    REPORTS,
    REQUESTS,
    STATE,
    STATUS,
    TOPICS,
    Cleanup,
)
from tests.support.attacks import last_event
from tests.support.records import RECORDS, Hand, Raw
from tests.support.systems import System

BELL = 'OPENQASM 3.0; include "stdgates.inc"; qubit q; bit c; h q; c = measure q;'
GOOD, RATE = 200, 40.0  # good jobs, and how many of them are asked for in a second
PATIENCE = aiohttp.ClientTimeout(total=120)
HELLO = {"program_id": "hello-world", "params": {"iterations": 0}}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a poison goes: a gateway, and on Kafka the topics past it."""

    url: str
    http: aiohttp.ClientSession
    hand: Hand | None
    prefix: str

    async def ask(self, body: bytes) -> None:
        """Make a request of *body*: past the gateway where that can be, else by HTTP."""
        if self.hand is not None:
            topic = self.prefix + REQUESTS
            for partition in await self.hand.partitions(topic):
                await self.hand.write(topic, partition, [Raw(body)])
            return
        with contextlib.suppress(aiohttp.ClientError):
            async with self.http.post(f"{self.url}/jobs", data=BytesIO(body)) as answer:
                await answer.read()

    async def write(self, topic: str, records: Sequence[Raw]) -> None:
        """Put each of *records* on every partition, in a batch of its own."""
        assert self.hand is not None
        if Cleanup.COMPACT in TOPICS[topic].cleanup:  # without a key Kafka takes nothing there
            records = [record if record.key else replace(record, key=b"a/b") for record in records]
        for partition in await self.hand.partitions(self.prefix + topic):
            for record in records:
                await self.hand.write(self.prefix + topic, partition, [record])


Poison = Callable[[Place], Awaitable[None]]


def requests(*bodies: bytes) -> Poison:
    """All of *bodies* at once."""

    async def throw(place: Place) -> None:
        await asyncio.gather(*(place.ask(body) for body in bodies))

    return throw


def records(topic: str) -> Poison:
    """Every record that nobody should write, on *topic*."""

    async def throw(place: Place) -> None:
        await place.write(topic, list(RECORDS.values()))

    return throw


def sampler(params: dict[str, Any]) -> bytes:
    return json.dumps({"program_id": "sampler", "params": params}, separators=(",", ":")).encode()


def wrong_circuits(size: int) -> bytes:
    return sampler({"circuits": [5] * (size // 2)})


def many_values(count: int) -> bytes:
    """A request that its schema permits, is slow to look at, and fails as soon as it runs."""
    return sampler({"circuits": BELL, "parameter_values": [[0]] * count})


def wrong_values(count: int) -> bytes:
    """A request that is small, and refused after its last value was looked at."""
    return sampler({"circuits": BELL, "parameter_values": [[0]] * count, "run_config": 5})


async def cancel_storm(place: Place) -> None:
    """Jobs that are asked for and cancelled, five times each and all at once."""

    async def one(number: int) -> None:
        async with place.http.post(f"{place.url}/jobs", json=HELLO) as answer:
            job = (await answer.json())["id"]
        for _ in range(5):
            async with place.http.post(f"{place.url}/jobs/{job}/cancel") as answer:
                await answer.read()

    await asyncio.gather(*(one(number) for number in range(50)))


# Lines may be added: each is thrown on the embedded log by HTTP, and on Kafka past the gateway.
POISONS: dict[str, Poison] = {
    "heavy requests of 120 KB of wrong circuits": requests(*[wrong_circuits(120_000)] * 3),
    "forty valid requests of 248 KB": requests(*[many_values(62_000)] * 40),
    "two hundred refused requests of few bytes and many values": requests(
        *[wrong_values(3_900)] * 200
    ),
    "a cancel storm": cancel_storm,
}
# And these only where somebody may write to the topics.
ON_KAFKA: dict[str, Poison] = {
    f"records on {topic}": records(topic)
    for topic in (REQUESTS, REPORTS, STATUS, INBOX, STATE, EVENTS)
}


@dataclass(frozen=True, slots=True)
class Good:
    """What became of the good jobs."""

    seconds: Sequence[float]  # from when each was due to be asked for, to its last event
    attempts: Sequence[int]
    states: Sequence[str]


async def good_jobs(place: Place, poison: Poison | None = None, count: int = GOOD) -> Good:
    """Ask for *count* jobs, at a rate that waits for nothing, and throw *poison* in the middle."""
    async with asyncio.TaskGroup() as tasks:
        began = asyncio.get_running_loop().time()
        jobs = [tasks.create_task(_one(place, began + n / RATE)) for n in range(count)]
        if poison is not None:
            await asyncio.sleep(count / 2 / RATE)
            await poison(place)
    found = [job.result() for job in jobs]
    return Good(
        [seconds for seconds, _ in found],
        [last.get("attempt", 0) for _, last in found],
        [last["state"] for _, last in found],
    )


async def _one(place: Place, due: float) -> tuple[float, dict[str, Any]]:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(max(0.0, due - loop.time()))
    async with place.http.post(f"{place.url}/jobs", json=HELLO) as answer:
        said = await answer.json()
        assert answer.status == 200, said
    last = await last_event(place.url, place.http, said["id"])
    return loop.time() - due, last


@contextlib.asynccontextmanager
async def place_of(system: System) -> AsyncIterator[Place]:
    """Where to throw things at *system*."""
    connector = aiohttp.TCPConnector(limit=0)
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=PATIENCE, connector=connector)
        )
        hand = None
        if system.bootstrap:
            hand = await stack.enter_async_context(Hand(system.bootstrap))
        yield Place(system.urls[0], http, hand, system.prefix)


def terms(system: System) -> int:
    """How often a broker of *system* has become the active one."""
    return sum(process.output().count("broker.active") for process in system.processes.values())
