"""Bell jobs a second, warm, 16 in flight, against a bare Aer loop.

`python -m benchmarks.bell [--kafka] [--seconds S] [--in-flight N]`. Each job is a circuit of two
qubits with 1,024 shots, end to end over HTTP and SSE. The reference, in the same run, before and
after, is the same circuit on Aer alone, one after the other in one process.
"""

import argparse
import asyncio
import os
import statistics

from benchmarks.common import (
    BELL_JOB,
    Row,
    bare_aer,
    embedded,
    kafka_node,
    machine,
    on_kafka,
    spent,
)
from benchmarks.load import Load, run_load
from tests.support.systems import System


async def measure(name: str, system: System, load: Load, times: int = 600) -> Row:
    """Jobs a second through *system*, with as many runs of bare Aer before and after."""
    url = system.urls[0]
    await run_load(url, Load(min(3.0, load.seconds), load.clients, ahead=load.ahead, job=load.job))
    aer = await asyncio.to_thread(bare_aer, times=times)
    before = spent(system)
    done = await run_load(url, load)
    after = spent(system)
    aer += await asyncio.to_thread(bare_aer, times=times)
    bare = 1 / statistics.mean(aer)
    each = {process: 1e6 * (after[process] - before[process]) / done.completed for process in after}
    each["load"] = 1e6 * done.cpu / done.completed
    parts = ", ".join(f"{process} {micros:.0f}" for process, micros in each.items())
    print(f"{name}: {parts}; {sum(each.values()):.0f} µs of processor time a job in all")
    return Row(
        f"Bell jobs/s, 1,024 shots, warm, {load.ahead} in flight, {name}",
        "≥ 0.8 × bare Aer",
        f"{done.rate:.0f} jobs/s",
        f"a bare Aer loop {bare:.0f}/s: {done.rate / bare:.2f} ×",
    )


def bell_load(seconds: float, in_flight: int = 16) -> Load:
    """As many clients as jobs are in flight."""
    return Load(seconds, clients=in_flight, ahead=in_flight, job=BELL_JOB)


async def on_disk_log(seconds: float, in_flight: int = 16) -> Row:
    """The row of `qjb up`, with one slot more than processors, so that none waits for a next job."""
    slots = 1 + (os.cpu_count() or 1)
    async with embedded(slots=str(slots)) as system:
        return await measure(f"embedded, {slots} slots", system, bell_load(seconds, in_flight))


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", action="store_true", help="on one-node Kafka, too")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--in-flight", type=int, default=16)
    asked = parser.parse_args()
    print(machine())
    print(await on_disk_log(asked.seconds, asked.in_flight))
    if asked.kafka:
        with kafka_node() as cluster:
            async with on_kafka(cluster.bootstrap) as system:
                load = bell_load(asked.seconds, asked.in_flight)
                print(await measure("kafka", system, load))


if __name__ == "__main__":
    asyncio.run(main())
