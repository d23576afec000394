"""Jobs a second: `hello-world` with `iterations` 0, end to end over HTTP and SSE.

`python -m benchmarks.throughput [--kafka] [--seconds S] [--jobs N] [--batch N] [--clients N]
[--gateways N]`. The load comes from a process of its own and is told apart in fifths, which are
the same if nothing grows. The reference, in the same run, is bare HTTP round trips from as many
clients.
"""

import argparse
import asyncio
import dataclasses
import os
from pathlib import Path

from benchmarks.common import Row, embedded, kafka_node, machine, on_kafka, spent
from benchmarks.load import Done, Load, bare_http, run_load
from tests.support.processes import offspring, resident_mib
from tests.support.systems import System

WARM = 5.0  # s
WANTED = {
    "embedded": "≥ 1,500",
    "embedded, a gateway of its own": "≥ 1,500",
    "embedded, batches": "≥ 2,500",
    "embedded, batches, a gateway of its own": "≥ 2,500",
    "kafka": "≥ 900",
}


async def measure(name: str, system: System, load: Load, **others: int) -> Row:
    """Load from another process; what the system and *others* (process ids) took for it."""
    url = system.urls[0]
    bare = await bare_http(url, load.clients, min(3.0, load.seconds))
    warm = dataclasses.replace(load, seconds=min(WARM, load.seconds), jobs=0)
    warmed = await run_load(url, warm)
    memory, before = [total_memory(system)], spent(system, **others)
    running = asyncio.create_task(run_load(url, load))
    while not running.done():
        await asyncio.wait((running,), timeout=load.seconds / 3)
        memory.append(total_memory(system))
    done, after = running.result(), spent(system, **others)
    each = {process: 1e6 * (after[process] - before[process]) / done.completed for process in after}
    each["load"] = 1e6 * done.cpu / done.completed
    report(name, done, bare, each)
    print(f"{name}: memory (RSS of all processes) {' → '.join(f'{m:.0f}' for m in memory)} MiB")
    if "up" in system.processes:
        print(
            f"{name}: {', '.join(on_disk(system, warmed.completed + done.completed))} bytes a job"
        )
    fifths = done.rates(5)
    return Row(
        f"No-op jobs/s over HTTP and SSE, {name}, {done.completed:,} in {done.seconds:.0f} s",
        WANTED.get(name, ""),
        f"{done.rate:.0f} jobs/s, last fifth {fifths[-1] / fifths[0]:.2f} × the first;"
        f" {sum(each.values()) - each['load']:.0f} µs of processor time a job",
        f"bare `GET /live` {bare:.0f}/s: {done.rate / bare:.2f} ×",
    )


def report(name: str, done: Done, bare: float, each: dict[str, float]) -> None:
    """Print a rate, fifth by fifth, and where processor time went."""
    rates = " ".join(f"{rate:.0f}" for rate in done.rates(5))
    print(f"{name}: {done.completed} jobs in {done.seconds:.1f} s = {done.rate:.0f} jobs/s")
    print(f"{name}: by fifths of the jobs {rates} jobs/s")
    print(f"{name}: {done.rate / bare:.2f} × bare GET /live ({bare:.0f}/s from as many clients)")
    parts = ", ".join(f"{process} {micros:.0f}" for process, micros in each.items())
    print(f"{name}: {parts}; {sum(each.values()):.0f} µs of processor time a job in all")


def on_disk(system: System, jobs: float) -> list[str]:
    """What the files of `qjb up` take for each of its *jobs*."""
    data = Path(system.processes["up"].arguments[2])
    return [f"{file.name} {file.stat().st_size / jobs:.0f}" for file in sorted(data.glob("*.db"))]


def total_memory(system: System) -> float:
    """RSS of the system's own processes (children share most of theirs with the fork server)."""
    return sum(
        resident_mib(pid)
        for process in system.processes.values()
        for pid in (process.pid, *offspring(process.pid))
    )


async def on_disk_log(load: Load, *, gateways: int = 0) -> Row:
    """The row of `qjb up`, with as many *gateways* that are processes of their own."""
    name = "embedded" if load.batch == 1 else "embedded, batches"
    if gateways:
        name += ", a gateway of its own" if gateways == 1 else f", {gateways} gateways of their own"
    slots = 2 * (os.cpu_count() or 1)  # as docs/operations.md says of jobs as short as these
    async with embedded(gateways=str(gateways), slots=str(slots)) as system:
        return await measure(name, system, load)


async def on_one_node(load: Load) -> Row:
    """The row of Kafka, with all roles and its node on this machine."""
    with kafka_node() as cluster:
        async with on_kafka(cluster.bootstrap) as system:
            node = cluster.nodes[0].pid
            assert node is not None
            return await measure("kafka", system, load, node=node)


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", action="store_true", help="on one-node Kafka, too")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--jobs", type=int, default=0, help="at least")
    parser.add_argument("--batch", type=int, default=1, help="jobs a request")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--gateways", type=int, default=0, help="of `qjb up`, each a process")
    asked = parser.parse_args()
    print(machine())
    ahead = 200 if asked.batch == 1 else 20 * asked.batch
    load = Load(asked.seconds, asked.clients, asked.jobs, asked.batch, ahead)
    print(await on_disk_log(load, gateways=asked.gateways))
    if asked.kafka:
        print(await on_one_node(load))


if __name__ == "__main__":
    asyncio.run(main())
