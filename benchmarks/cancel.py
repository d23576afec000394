"""Cancel of a running 22-qubit simulation → the child that ran it is dead, through the whole system.

`python -m benchmarks.cancel [--kafka] [--times N]`. Measured from sending `POST …/cancel` until
the process is gone; the reference, in the same run, is a SIGKILL of the same kind of child.
"""

import argparse
import asyncio
import os
import signal
import statistics
import time
from pathlib import Path

from benchmarks.client import Connection, post
from benchmarks.common import (
    Row,
    embedded,
    kafka_node,
    line,
    machine,
    on_kafka,
    processor_time,
    quantiles,
    watching,
)
from tests.support.processes import children_of_fork_server
from tests.support.systems import System

QUBITS = 22
LONG = (
    'OPENQASM 2.0; include "qelib1.inc"; '
    f"qreg q[{QUBITS}]; creg c[{QUBITS}]; "
    + " ".join(
        f"u3({0.1 + layer + qubit},0.2,0.3) q[{qubit}]; cx q[{qubit}],q[{(qubit + 1) % QUBITS}];"
        for layer in range(60)
        for qubit in range(QUBITS)
    )
    + " measure q -> c;"
)


def busiest(system: System) -> int:
    """The child that has used the most processor time."""
    workers = [p for name, p in system.processes.items() if name.startswith(("up", "worker"))]
    children = [pid for process in workers for pid in children_of_fork_server(process.pid)]
    return max(children, key=processor_time)


def is_dead(pid: int) -> bool:
    """Whether a process is gone, or a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def dead(pid: int) -> float:
    """When it was gone."""
    while not is_dead(pid):
        await asyncio.sleep(0.0005)
    return time.perf_counter()


async def measure(system: System, times: int) -> tuple[list[float], list[float]]:
    """Seconds from cancel, and from a bare SIGKILL, to a dead child."""
    cancelled, killed = [], []
    url = system.urls[0]
    connection = await Connection.to(url)
    async with watching(url) as watcher:
        for number in range(2 * times):
            job_id = f"long-{number}"
            job = {"program_id": "circuit-runner", "params": {"circuits": LONG, "shots": 10}}
            await connection.ask(post("/jobs", {**job, "job_id": job_id}))
            await watcher.when(job_id, "started")
            await asyncio.sleep(1.0)  # so that the simulation itself runs, in C++
            pid = busiest(system)
            began = time.perf_counter()
            if number % 2:
                os.kill(pid, signal.SIGKILL)
                killed.append(await dead(pid) - began)
            waiting = asyncio.create_task(dead(pid))
            began = time.perf_counter()
            await connection.ask(post(f"/jobs/{job_id}/cancel", {}))
            if not number % 2:
                cancelled.append(await waiting - began)
            await watcher.when(job_id, "cancelled")
    connection.close()
    return cancelled, killed


def report(name: str, measured: tuple[list[float], list[float]]) -> Row:
    """Print what was measured, and against what."""
    cancelled, killed = measured
    print(line(f"{name}: cancel of {QUBITS} qubits → child dead", cancelled))
    print(line(f"{name}: reference, SIGKILL → child dead", killed))
    ratio = statistics.median(cancelled) / statistics.median(killed)
    print(f"{name}: a cancel takes {ratio:.1f} × a bare SIGKILL")
    return Row(
        f"Cancel of {QUBITS} qubits → child dead, {name}",
        "p99 ≤ 20 ms",
        quantiles(cancelled),
        f"bare SIGKILL {quantiles(killed)}: {ratio:.1f} ×",
    )


async def on_disk_log(times: int = 40) -> Row:
    """The row of `qjb up`."""
    async with embedded() as system:
        return report("embedded", await measure(system, times))


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", action="store_true", help="on one-node Kafka, too")
    parser.add_argument("--times", type=int, default=40)
    asked = parser.parse_args()
    print(machine())
    await on_disk_log(asked.times)
    if asked.kafka:
        with kafka_node() as cluster:
            async with on_kafka(cluster.bootstrap) as system:
                report("kafka", await measure(system, asked.times))


if __name__ == "__main__":
    asyncio.run(main())
