"""A VQE as one program, and the same VQE as one job for each evaluation: time outside the backend.

`python -m benchmarks.vqe [--iterations N] [--rounds N]`. Hydrogen in two qubits, SPSA from the same
seed on both sides, whose evaluations are exact. Time outside the backend is what passes from asking
to the answer, less what the same evaluations take in Aer alone, measured in the same run.

`--device` instead runs both near the device for drills, once, with 100 shots: its queue of 2 s is
waited in once by each job, as in a vendor's session, and to run takes no time there. All that passes
is outside of it; what is ours is that less the queue.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from qiskit_algorithms.optimizers import SPSA
from qiskit_algorithms.utils import algorithm_globals

from benchmarks.client import Connection, post
from benchmarks.common import Row, embedded, machine, running, watching
from tests.support.systems import System, announced, embedded_system

ANSATZ = """OPENQASM 3.0; include "stdgates.inc";
input float a; input float b; input float c; input float d; qubit[2] q;
ry(a) q[0]; ry(b) q[1]; cx q[0], q[1]; ry(c) q[0]; ry(d) q[1];"""
H2 = {"II": -1.05237325, "IZ": 0.39793742, "ZI": -0.39793742, "ZZ": -0.0112801, "XX": 0.1809312}
START = [0.1, 0.2, 0.3, 0.4]
STEPS = {"learning_rate": 0.1, "perturbation": 0.1}  # given, so that nothing has to be calibrated
SEED = 7
WANTED = 20
SIMULATOR, DEVICE = "aer_simulator", "drill"
SHOTS = 100
QUEUE = 2.0  # s that a job waits at the device
WANTED_NEAR = 50


def program(iterations: int, backend: str) -> dict[str, Any]:
    """The whole as one job."""
    params = {
        "ansatz": ANSATZ,
        "operator": H2,
        "optimizer": {"name": "SPSA", "maxiter": iterations, **STEPS},
        "initial_parameters": START,
        "exact": backend == SIMULATOR,
        "shots": SHOTS,
        "seed": SEED,
    }
    return {"program_id": "vqe", "backend": backend, "params": params}


def evaluation(point: Any, backend: str) -> dict[str, Any]:
    """One evaluation as one job."""
    precision = 0 if backend == SIMULATOR else SHOTS**-0.5
    params = {"pubs": [[ANSATZ, [H2], list(map(float, point)), precision]]}
    return {"program_id": "estimator", "backend": backend, "params": params}


async def ended(url: str, connection: Connection, watcher: Any, job: dict[str, Any]) -> str:
    """Asks for *job*; its id, when it has completed."""
    answer = json.loads(await connection.ask(post("/jobs", job)))
    await watcher.when(answer["id"], "completed")
    return str(answer["id"])


async def as_one(url: str, iterations: int, backend: str = SIMULATOR) -> float:
    """Seconds from asking to the end."""
    async with watching(url) as watcher:
        connection = await Connection.to(url)
        begun = time.perf_counter()
        await ended(url, connection, watcher, program(iterations, backend))
        took = time.perf_counter() - begun
        connection.close()
    return took


async def as_many(url: str, iterations: int, backend: str = SIMULATOR) -> tuple[float, int]:
    """Seconds that evaluations took from asking to the end, and how many there were."""
    async with watching(url) as watcher:
        connection = await Connection.to(url)
        loop = asyncio.get_running_loop()
        took: list[float] = []

        def value(point: Any) -> float:
            begun = time.perf_counter()
            job = ended(url, connection, watcher, evaluation(point, backend))
            asyncio.run_coroutine_threadsafe(job, loop).result()
            took.append(time.perf_counter() - begun)
            return float(np.sum(np.sin(point)))  # which way it goes changes no time

        algorithm_globals.random_seed = SEED
        optimizer = SPSA(maxiter=iterations, callback=lambda *_: None, **STEPS)  # as the program
        await asyncio.to_thread(optimizer.minimize, value, np.array(START))
        connection.close()
    return sum(took), len(took)


def in_aer(evaluations: int) -> float:
    """Seconds of so many evaluations in Aer alone, in a process of its own; the median of each."""
    code = f"""
import json, time
from qiskit import qasm3
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
state = qasm3.loads({ANSATZ!r})
state.save_expectation_value(SparsePauliOp.from_list(list({H2!r}.items())), [0, 1])
bound = state.assign_parameters({START!r})
simulator, took = AerSimulator(max_parallel_threads=1), []
for _ in range({evaluations} + 20):
    begun = time.perf_counter()
    simulator.run(bound).result()
    took.append(time.perf_counter() - begun)
print(json.dumps(took[20:]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return statistics.median(json.loads(done.stdout)) * evaluations


async def measure(system: System, iterations: int, rounds: int) -> Row:
    """Both in turns; the least of the rounds, as what else runs only adds to it."""
    (url,) = system.urls
    await asyncio.gather(*(as_one(url, 50) for _ in range(4)))  # each child loads the optimizers
    ones, manys, aer, evaluations = [], [], [], 0
    for _ in range(rounds):
        ones.append(await as_one(url, iterations))
        many, evaluations = await as_many(url, iterations)
        manys.append(many)
        aer.append(await asyncio.to_thread(in_aer, evaluations))
    one, many, alone = map(min, (ones, manys, aer))
    outside_one, outside_many = max(one - alone, 1e-9), many - alone
    print(
        f"{evaluations} evaluations: one program {one:.3f} s, a job for each {many:.3f} s, "
        f"in Aer alone {alone:.3f} s"
    )
    return Row(
        f"VQE of {iterations} iterations as one program: time outside the backend, embedded",
        f"≥ {WANTED} × less than as one job for each of its {evaluations} evaluations",
        f"{outside_one * 1e3:.0f} ms",
        f"a job for each {outside_many * 1e3:.0f} ms: {outside_many / outside_one:.1f} ×",
    )


async def near_device(iterations: int) -> Row:
    """The row of `qjb up` with a device."""
    with tempfile.TemporaryDirectory() as folder:
        system = embedded_system(
            Path(folder),
            log_level="warning",
            backends=f"{DEVICE}=executors.hardware.vendors.drill:device?env=DRILL",
        )
        manners = {"books": f"{folder}/books", "queue": QUEUE, "sessions": True}
        system.use({"DRILL": json.dumps(manners)})
        async with running(system):
            (url,) = system.urls
            await announced(url, DEVICE)
            await as_one(url, 2, DEVICE)  # the child loads the optimizers
            one = await as_one(url, iterations, DEVICE)
            many, evaluations = await as_many(url, iterations, DEVICE)
    ours, theirs = one - QUEUE, many - QUEUE * evaluations
    return Row(
        f"VQE of {iterations} iterations near a device with a queue of {QUEUE:g} s: time outside it",
        f"≥ {WANTED_NEAR} × less than as one job for each of its {evaluations} evaluations",
        f"{one:.2f} s",
        f"a job for each {many:.1f} s: {many / one:.1f} ×; without the queue {ours:.2f} and"
        f" {theirs:.1f} s: {theirs / ours:.1f} ×",
    )


async def on_disk_log(iterations: int = 200, rounds: int = 5) -> Row:
    """The row of `qjb up`."""
    async with embedded() as system:
        return await measure(system, iterations, rounds)


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--device", action="store_true", help="near a device, once")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print(machine())
    if asked.device:
        print(await near_device(asked.iterations))
        return
    print(await on_disk_log(asked.iterations, asked.rounds))


if __name__ == "__main__":
    asyncio.run(main())
