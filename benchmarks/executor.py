"""Measures the simulator executor against bare Aer, and how fast it ends and replaces children.

`python benchmarks/executor.py [--short]` from the top of the repository.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import processor_time
from executors.base import Stop, Task
from executors.simulator import SimulatorExecutor
from schemas.reports import Body
from tests.support.circuits import BELL_2, BELL_3, large
from tests.support.executing import uploaded, value
from tests.support.processes import offspring
from tests.support.programs import PROGRAMS

# Aer blocks the interpreter while it runs, so the reference has a process of its own.
BARE = """
import sys, time, json
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
circuit = QuantumCircuit(2)
circuit.h(0); circuit.cx(0, 1); circuit.measure_all()
backend = AerSimulator()
times = []
for _ in range(int(sys.argv[1])):
    start = time.perf_counter()
    backend.run(circuit, shots=1024, max_parallel_threads=1).result().get_counts()
    times.append(time.perf_counter() - start)
print(json.dumps(times[10:]))
"""


def task(program: str, inputs: dict[str, Any], limit: float = 600.0) -> Task:
    data = json.dumps(inputs).encode()
    return Task("default", "j1", 1, program, "", data, "aer_simulator", limit)


def show(name: str, seconds: list[float]) -> float:
    ordered = sorted(seconds)
    p50 = statistics.median(ordered)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"{name:<52} p50 {p50 * 1e3:8.2f} ms   p99 {p99 * 1e3:8.2f} ms   n={len(ordered)}")
    return p50


async def timed(executor: SimulatorExecutor, job: Task) -> float:
    start = time.perf_counter()
    last: Body | None = None
    async for body in executor.run(job, Stop()):
        last = body
    assert type(last).__name__ == "Returned", last
    return time.perf_counter() - start


async def bells(executor: SimulatorExecutor, count: int) -> None:
    bare = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", BARE, str(count)],
        capture_output=True,
        check=True,
    )
    reference = show("Bell, 1,024 shots: bare Aer in a process of its own", json.loads(bare.stdout))
    for name, circuit in (("OpenQASM 2", BELL_2), ("OpenQASM 3", BELL_3)):
        job = task("sampler", {"circuits": circuit})
        times = [await timed(executor, job) for _ in range(count)][10:]
        p50 = show(f"Bell, 1,024 shots: sampler in a warm child, {name}", times)
        print(f"{'':<52} {p50 / reference:.2f} times bare Aer")


async def greetings(executor: SimulatorExecutor, slots: int, seconds: float) -> None:
    job = task("hello-world", {"iterations": 0})
    end = time.perf_counter() + seconds
    done = 0

    async def lane() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await timed(executor, job)
            done += 1

    cpu, children = time.process_time(), cpu_of_children(executor)
    await asyncio.gather(*(lane() for _ in range(slots)))
    used = time.process_time() - cpu
    by_children = cpu_of_children(executor) - children
    print(
        f"{'hello-world, iterations 0':<52} {done / seconds:.0f} jobs/s over {slots} slots, "
        f"{used / done * 1e6:.0f} µs of the parent's CPU each, {by_children / done * 1e6:.0f} µs "
        "of the children's"
    )


def cpu_of_children(executor: SimulatorExecutor) -> float:
    """Processor time in seconds that the children have used, those that have been replaced, too."""
    server = executor.fork_server_pid
    reaped = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[13:15]
    gone = sum(map(int, reaped)) / os.sysconf("SC_CLK_TCK")
    return gone + sum(map(processor_time, offspring(server)))


async def cancels(executor: SimulatorExecutor, count: int) -> None:
    inputs = {"circuits": large(22)}
    dead, again = [], []
    for number in range(count):
        stop = Stop()
        run = executor.run(task("sampler", inputs), stop)
        await anext(run)
        following = asyncio.ensure_future(anext(run))
        await asyncio.sleep(0.3 + 0.01 * (number % 10))  # inside Aer, at different places
        start = time.perf_counter()
        stop.ask("user_request")
        await following
        dead.append(time.perf_counter() - start)
        await run.aclose()
        start = time.perf_counter()
        async for _ in executor.run(task("hello-world", {"iterations": 0}), Stop()):
            again.append(time.perf_counter() - start)
            break
    show("22 qubits in Aer: stop asked → child dead", dead)
    show("after that: next task → began", again)


async def deaths(executor: SimulatorExecutor, count: int) -> None:
    times = []
    for _ in range(count):
        died = 0.0
        async for _ in executor.run(task("dies", {}), Stop()):
            died = time.perf_counter()
        async for _ in executor.run(task("hello-world", {"iterations": 0}), Stop()):
            times.append(time.perf_counter() - died)
            break
    show("child dies → next attempt began", times)


FIRST_LINE = "import time\ndef main(backend, user_messenger): return time.monotonic()"


async def sandboxed(executor: SimulatorExecutor, count: int) -> None:
    job = replace(task("first-line", {}), uploaded=uploaded(FIRST_LINE))
    for name, pause in (("one after the other", 0.0), ("with a pause between", 0.2)):
        times = []
        for _ in range(count):
            await asyncio.sleep(pause)
            start = time.monotonic()
            found = [body async for body in executor.run(job, Stop())]
            times.append(value(found[-1]) - start)
        show(f"uploaded program → first line of main, {name}", times[1:])


async def main(short: bool) -> None:
    slots = os.cpu_count() or 1
    print(f"{platform.platform()}, {slots} cores, Python {platform.python_version()}")
    executor = SimulatorExecutor(slots, PROGRAMS)
    start = time.perf_counter()
    await executor.start()
    print(f"{'start → backends known':<52} {time.perf_counter() - start:.2f} s")
    await timed(executor, task("hello-world", {"iterations": 0}))
    print(f"{'start → first job done':<52} {time.perf_counter() - start:.2f} s")
    try:
        await bells(executor, 60 if short else 500)
        await greetings(executor, slots, 2.0 if short else 20.0)
        await sandboxed(executor, 10 if short else 100)
        await cancels(executor, 10 if short else 100)
        await deaths(executor, 20 if short else 200)
    finally:
        await executor.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few seconds instead of minutes")
    asyncio.run(main(parser.parse_args().short))
