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

import aiohttp

from benchmarks.common import Watcher, embedded, kafka_node, line, machine, on_kafka
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


def processor_time(pid: int) -> float:
    """User and system time of a process, in seconds."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return -1.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
    async with aiohttp.ClientSession() as http:
        watcher = Watcher(url)
        reading = asyncio.create_task(watcher.run(http))
        await asyncio.wait_for(watcher.opened.wait(), 10)
        for number in range(2 * times):
            job_id = f"long-{number}"
            job = {"program_id": "circuit-runner", "params": {"circuits": LONG, "shots": 10}}
            async with http.post(f"{url}/jobs", json={**job, "job_id": job_id}) as response:
                assert response.status == 200, await response.text()
            await watcher.when(job_id, "started")
            await asyncio.sleep(1.0)  # so that the simulation itself runs, in C++
            pid = busiest(system)
            began = time.perf_counter()
            if number % 2:
                os.kill(pid, signal.SIGKILL)
                killed.append(await dead(pid) - began)
            waiting = asyncio.create_task(dead(pid))
            began = time.perf_counter()
            async with http.post(f"{url}/jobs/{job_id}/cancel") as response:
                assert response.status in (200, 202, 204), await response.text()
            if not number % 2:
                cancelled.append(await waiting - began)
            await watcher.when(job_id, "cancelled")
        reading.cancel()
    return cancelled, killed


def report(name: str, measured: tuple[list[float], list[float]]) -> None:
    """Print what was measured, and against what."""
    cancelled, killed = measured
    print(line(f"{name}: cancel of {QUBITS} qubits → child dead", cancelled))
    print(line(f"{name}: reference, SIGKILL → child dead", killed))
    ratio = statistics.median(cancelled) / statistics.median(killed)
    print(f"{name}: a cancel takes {ratio:.1f} × a bare SIGKILL")


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", action="store_true", help="on one-node Kafka, too")
    parser.add_argument("--times", type=int, default=40)
    asked = parser.parse_args()
    print(machine())
    async with embedded() as system:
        report("embedded", await measure(system, asked.times))
    if asked.kafka:
        with kafka_node() as bootstrap:
            async with on_kafka(bootstrap) as system:
                report("kafka", await measure(system, asked.times))


if __name__ == "__main__":
    asyncio.run(main())
