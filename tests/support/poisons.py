"""What could stop everybody, thrown in among good jobs: a table by name, and how the good ones fare.

Who throws is a process of its own (`python -m tests.support.poisons NAME URL [BOOTSTRAP PREFIX]`),
so that what it takes to throw does not count as a delay of the good ones.
"""

import asyncio
import contextlib
import json
import math
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import aiohttp

from broker.transports.kafka.layout import LAYOUT
from broker.transports.topics import (
    DEAD_LETTERS,
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
from tests.support.awaiting import eventually
from tests.support.processes import ROOT
from tests.support.records import RECORDS, Hand, Raw, batch
from tests.support.systems import System

BELL = 'OPENQASM 3.0; include "stdgates.inc"; qubit q; bit c; h q; c = measure q;'
GOOD = 200  # good jobs
STEADY, AT_ONCE = 40.0, math.inf  # how many of them are asked for in a second
PATIENCE = aiohttp.ClientTimeout(total=120)
HELLO = {"program_id": "hello-world", "params": {"iterations": 0}}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a poison goes: a gateway, and on Kafka the topics past it."""

    url: str
    http: aiohttp.ClientSession
    hand: Hand | None
    bootstrap: str = ""
    prefix: str = ""

    async def ask(self, body: bytes) -> None:
        """Make a request of *body* by HTTP."""
        with contextlib.suppress(aiohttp.ClientError):
            async with self.http.post(f"{self.url}/jobs", data=BytesIO(body)) as answer:
                await answer.read()

    async def partitions(self, topic: str) -> Sequence[int]:
        """Of *topic*, on Kafka."""
        assert self.hand is not None
        return await self.hand.partitions(self.prefix + topic)

    async def put(self, topic: str, partition: int, data: bytes) -> None:
        """Put the batch *data* there."""
        assert self.hand is not None
        await self.hand.write_batch(self.prefix + topic, partition, data)

    async def write(self, topic: str, batches: Sequence[bytes]) -> None:
        """Put *batches* on every partition."""
        for partition in await self.partitions(topic):
            for data in batches:
                await self.put(topic, partition, data)


def singly(topic: str, records: Sequence[Raw]) -> list[bytes]:
    """*records* for *topic*, each in a batch of its own."""
    kept = TOPICS.get(topic, LAYOUT).cleanup
    if Cleanup.COMPACT in kept:  # without a key Kafka takes nothing there
        records = [record if record.key else replace(record, key=b"a/b") for record in records]
    return [batch([record]) for record in records]


Throw = Callable[[], Awaitable[object]]
Poison = Callable[[Place], Awaitable[Throw]]  # makes ready; then what is left is to throw it


def requests(*bodies: bytes) -> Poison:
    """All of *bodies* at once: past the gateway where that can be, else by HTTP."""

    async def ready(place: Place) -> Throw:
        if place.hand is None:
            return lambda: asyncio.gather(*(place.ask(body) for body in bodies))
        parts = await place.partitions(REQUESTS)
        written = [(parts[n % len(parts)], batch([Raw(body)])) for n, body in enumerate(bodies)]
        return lambda: asyncio.gather(*(place.put(REQUESTS, *each) for each in written))

    return ready


def records(topic: str) -> Poison:
    """Every record that nobody should write, on *topic*: 6 MB in batches of their own."""

    async def ready(place: Place) -> Throw:
        partitions = await place.partitions(topic)
        batches = singly(topic, list(RECORDS.values()))

        async def throw() -> None:
            for number, data in enumerate(batches):
                await place.put(topic, partitions[number % len(partitions)], data)

        return throw

    return ready


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


def by_reference(number: int) -> bytes:
    """A request whose inputs are in the blob store, which hangs."""
    ref = {"sha256": f"{number:064x}", "size": 1_000_000}
    return json.dumps({"program_id": "sampler", "params_ref": ref}).encode()


async def cancel_storm(place: Place) -> Throw:
    """Jobs that are asked for and cancelled, five times each and all at once."""

    async def one() -> None:
        async with place.http.post(f"{place.url}/jobs", json=HELLO) as answer:
            job = (await answer.json())["id"]
        for _ in range(5):
            async with place.http.post(f"{place.url}/jobs/{job}/cancel") as answer:
                await answer.read()

    return lambda: asyncio.gather(*(one() for _ in range(50)))


# Lines may be added: each is thrown on the embedded log by HTTP, and on Kafka past the gateway.
POISONS: dict[str, Poison] = {
    "heavy requests of 120 KB of wrong circuits": requests(*[wrong_circuits(120_000)] * 3),
    "forty valid requests of 248 KB": requests(*[many_values(62_000)] * 40),
    "two hundred refused requests of few bytes and many values": requests(
        *[wrong_values(3_900)] * 200
    ),
    "a cancel storm": cancel_storm,
    "three hundred requests by reference, of a blob store that hangs": requests(
        *map(by_reference, range(300))
    ),
}
# And these only where somebody may write to the topics; the last is what Kafka itself takes, as
# nobody reads there.
ON_KAFKA: dict[str, Poison] = {
    f"records on {topic}": records(topic)
    for topic in (REQUESTS, REPORTS, STATUS, INBOX, STATE, EVENTS, DEAD_LETTERS)
}


@dataclass(frozen=True, slots=True)
class Good:
    """What became of the good jobs."""

    seconds: Sequence[float]  # from when each was due to be asked for, to its last event
    attempts: Sequence[int]
    states: Sequence[str]


async def good_jobs(
    place: Place, throw: Throw | None = None, count: int = GOOD, rate: float = STEADY
) -> Good:
    """Ask for *count* jobs, at a *rate* that waits for nothing, and *throw* in the middle."""
    async with asyncio.TaskGroup() as tasks:
        began = asyncio.get_running_loop().time()
        jobs = [tasks.create_task(_one(place, began + n / rate)) for n in range(count)]
        if throw is not None:
            await asyncio.sleep(count / 2 / rate)
            await throw()
    found = [job.result() for job in jobs]
    return Good(
        [seconds for seconds, _ in found],
        [last.get("attempt", 0) for _, last in found],
        [last["state"] for _, last in found],
    )


@contextlib.asynccontextmanager
async def thrower(place: Place, poison: str) -> AsyncIterator[Throw]:
    """What throws *poison* at *place*, as often as it is called: a process that is ready to."""
    bootstrap = [place.bootstrap, place.prefix] if place.bootstrap else []
    arguments = ["-m", "tests.support.poisons", poison, place.url, *bootstrap]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=PIPE, stdout=PIPE, cwd=ROOT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline()

    async def throw() -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        assert await process.stdout.readline()

    try:
        yield throw
    finally:
        process.kill()
        await process.wait()


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
    async with _place(system.urls[0], system.bootstrap, system.prefix) as place:
        yield place


@contextlib.asynccontextmanager
async def _place(url: str, bootstrap: str = "", prefix: str = "") -> AsyncIterator[Place]:
    connector = aiohttp.TCPConnector(limit=0)
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=PATIENCE, connector=connector)
        )
        hand = await stack.enter_async_context(Hand(bootstrap)) if bootstrap else None
        yield Place(url, http, hand, bootstrap, prefix)


async def quiet(place: Place) -> None:
    """Until every job has ended, and a moment longer."""

    async def all_ended() -> bool:
        async with place.http.get(f"{place.url}/jobs?limit=1&pending=true") as answer:
            return not (await answer.json())["jobs"]

    await eventually(all_ended, within=3600)
    await asyncio.sleep(1.0)


def terms(system: System) -> int:
    """How often a broker of *system* has become the active one."""
    return sum(process.output().count("broker.active") for process in system.processes.values())


async def _main(name: str, *where: str) -> None:
    async with _place(*where) as place:
        throw = await (POISONS | ON_KAFKA)[name](place)
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            await throw()
            print("thrown", flush=True)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
