"""Jobs a second: `hello-world` with `iterations` 0, end to end over HTTP and SSE.

`python -m benchmarks.throughput [--kafka] [--seconds S] [--clients N]`. The load comes from a
process of its own. References in the same run: the executor's bare loop (one warm child, nothing
around it) and bare HTTP round trips from as many clients.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from benchmarks.common import embedded, kafka_node, machine, on_kafka
from tests.support.processes import offspring, resident_mib
from tests.support.systems import System

AHEAD = 200  # jobs submitted and not yet completed
COMPLETED = b"\nevent: completed\n"
LENGTH = re.compile(rb"[Cc]ontent-[Ll]ength: (\d+)")
JOB = {"program_id": "hello-world", "params": {"iterations": 0}}


async def load(url: str, seconds: float, clients: int) -> dict[str, float]:
    """Submit from *clients* connections, at most 200 jobs ahead of what has completed.

    Speaks HTTP over bare sockets, so that the load costs little of what it is to measure.
    """
    host, port = urlsplit(url).hostname, urlsplit(url).port
    ahead, completed, submitted = asyncio.Semaphore(AHEAD), 0, 0
    body = json.dumps(JOB).encode()
    request = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
    until = time.perf_counter() + seconds

    async def submit() -> None:
        nonlocal submitted
        reader, writer = await asyncio.open_connection(host, port)
        while time.perf_counter() < until:
            await ahead.acquire()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            await reader.readexactly(int(LENGTH.search(head)[1]))
            submitted += 1
        writer.close()

    async def watch(opened: asyncio.Event) -> None:
        nonlocal completed
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /events?last_event_id=now HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"id: ")
        opened.set()
        rest = b""
        while chunk := await reader.read(1 << 20):
            text = rest + chunk
            found = text.count(COMPLETED)
            rest = text[-len(COMPLETED) + 1 :]
            completed += found
            for _ in range(found):
                ahead.release()

    async def drained() -> None:
        while completed < submitted:
            await asyncio.sleep(0.005)

    opened = asyncio.Event()
    watching = asyncio.create_task(watch(opened))
    await asyncio.wait_for(opened.wait(), 10)
    began = time.perf_counter()
    await asyncio.gather(*(submit() for _ in range(clients)))
    await asyncio.wait_for(drained(), 60)
    took = time.perf_counter() - began
    watching.cancel()
    return {"submitted": submitted, "completed": completed, "seconds": took}


async def bare_http(url: str, clients: int, seconds: float = 3.0) -> float:
    """`GET /live` a second, from as many clients."""
    count, until = 0, time.perf_counter() + seconds

    async def ask(http: aiohttp.ClientSession) -> None:
        nonlocal count
        while time.perf_counter() < until:
            async with http.get(f"{url}/live") as response:
                await response.read()
            count += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        await asyncio.gather(*(ask(http) for _ in range(clients)))
    return count / seconds


async def measure(name: str, system: System, seconds: float, clients: int) -> None:
    """Load from another process; memory of the system before, in the middle and after."""
    bare = await bare_http(system.urls[0], clients)
    jobs = (await run_load(system.urls[0], 5, clients))["completed"]
    memory = [total_memory(system)]
    for _ in range(3):
        figures = await run_load(system.urls[0], seconds / 3, clients)
        rate = figures["completed"] / figures["seconds"]
        jobs += figures["completed"]
        memory.append(total_memory(system))
        print(
            f"{name}: {figures['completed']:.0f} jobs in {figures['seconds']:.1f} s = {rate:.0f} jobs/s"
        )
        print(f"{name}: {rate / bare:.2f} × bare GET /live ({bare:.0f}/s from {clients} clients)")
    print(
        f"{name}: memory (RSS of all processes) {' → '.join(f'{value:.0f}' for value in memory)} MiB"
    )

    if "up" in system.processes:
        print(f"{name}: {', '.join(on_disk(system, jobs))} bytes a job")


def on_disk(system: System, jobs: float) -> list[str]:
    """What the files of `qjb up` take for each of its *jobs*."""
    data = Path(system.processes["up"].arguments[2])
    return [f"{file.name} {file.stat().st_size / jobs:.0f}" for file in sorted(data.glob("*.db"))]


async def run_load(url: str, seconds: float, clients: int) -> dict[str, float]:
    """`load` in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.throughput", "--load", url,
        "--seconds", str(seconds), "--clients", str(clients), stdout=subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    return dict(json.loads(out))


def total_memory(system: System) -> float:
    """RSS of the system's own processes (children share most of theirs with the fork server)."""
    return sum(
        resident_mib(pid)
        for process in system.processes.values()
        for pid in (process.pid, *offspring(process.pid))
    )


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", action="store_true", help="on one-node Kafka, too")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.load:
        print(json.dumps(await load(asked.load, asked.seconds, asked.clients)))
        return
    print(machine())
    async with embedded() as system:
        await measure("embedded", system, asked.seconds, asked.clients)
    if asked.kafka:
        with kafka_node() as bootstrap:
            async with on_kafka(bootstrap) as system:
                await measure("kafka", system, asked.seconds, asked.clients)


if __name__ == "__main__":
    asyncio.run(main())
