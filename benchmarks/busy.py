"""Submit → `queued` while two simulations of 22 qubits want every processor.

`python -m benchmarks.busy [--times N]`. The reference, in the same run, is the same on the idle
machine.
"""

import argparse
import asyncio
import statistics
import time

from benchmarks.cancel import LONG
from benchmarks.client import Connection, post
from benchmarks.common import Row, Watcher, embedded, line, machine, quantiles, watching

SIMULATIONS = 2
PAUSE = 0.02  # s between two jobs


async def until_queued(
    connection: Connection, watcher: Watcher, name: str, times: int
) -> list[float]:
    """Seconds from sending each of so many small jobs until it is told that it is queued."""
    took = []
    for number in range(times):
        job = {"job_id": f"{name}-{number}", "program_id": "hello-world"}
        began = time.perf_counter()
        await connection.ask(post("/jobs", {**job, "params": {"iterations": 0}}))
        took.append(await watcher.when(job["job_id"], "queued") - began)
        await asyncio.sleep(PAUSE)
    return took


async def on_disk_log(times: int = 200) -> Row:
    """The row of `qjb up`."""
    async with embedded() as system, watching(system.urls[0]) as watcher:
        connection = await Connection.to(system.urls[0])
        idle = await until_queued(connection, watcher, "idle", times)
        for number in range(SIMULATIONS):
            job = {"program_id": "circuit-runner", "params": {"circuits": LONG, "shots": 10}}
            await connection.ask(post("/jobs", {**job, "job_id": f"long-{number}"}))
            await watcher.when(f"long-{number}", "started")
        await asyncio.sleep(1.0)  # so that the simulations themselves run, in C++
        busy = await until_queued(connection, watcher, "busy", times)
        for number in range(SIMULATIONS):
            await connection.ask(post(f"/jobs/long-{number}/cancel", {}))
        connection.close()
    print(line("embedded: submit → queued beside two simulations", busy))
    print(line("embedded: reference, beside none", idle))
    ratio = statistics.median(busy) / statistics.median(idle)
    return Row(
        "Submit → `queued` beside two simulations of 22 qubits, embedded",
        "",
        quantiles(busy),
        f"beside none {quantiles(idle)}: {ratio:.1f} ×",
    )


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=200)
    print(machine())
    print(await on_disk_log(parser.parse_args().times))


if __name__ == "__main__":
    asyncio.run(main())
