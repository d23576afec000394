"""What the benchmarks share: the machine, percentiles, a system to measure, a reference."""

import asyncio
import contextlib
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import EVENT, Stream
from tests.support.kafka import KafkaCluster
from tests.support.processes import offspring
from tests.support.systems import System, embedded_system, kafka_system

BELL = (
    'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; '
    "h q[0]; cx q[0], q[1]; c = measure q;"
)
BELL_JOB = {"program_id": "sampler", "params": {"circuits": BELL, "run_config": {"shots": 1024}}}


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure is worth little without what it is held against."""

    measured: str
    wanted: str
    figure: str
    reference: str

    def __str__(self) -> str:
        return f"| {self.measured} | {self.wanted} | {self.figure} | {self.reference} |"


def machine() -> str:
    """One line on what this runs on. How fast plain Python is says how it was built, too."""
    model = "unknown processor"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {calls_a_second() / 1e6:.1f} million calls a second"
    )


def calls_a_second(times: int = 200_000) -> float:
    """Of a method that makes an object and puts it into a dict; the best of five."""
    kept: dict[int, tuple[int, str]] = {}

    def call(number: int) -> None:
        kept[number & 1023] = number, str(number)

    def once() -> float:
        began = time.perf_counter()
        for number in range(times):
            call(number)
        return time.perf_counter() - began

    return times / min(once() for _ in range(5))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that *share* (0 to 1) of *values* do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def line(name: str, seconds: Sequence[float]) -> str:
    """p50, p95, p99 and maximum in milliseconds."""
    figures = " ".join(
        f"{label} {value * 1e3:7.2f}"
        for label, value in (
            ("p50", statistics.median(seconds)),
            ("p95", percentile(seconds, 0.95)),
            ("p99", percentile(seconds, 0.99)),
            ("max", max(seconds)),
        )
    )
    return f"{name:<52} {figures} ms  n={len(seconds)}"


def quantiles(seconds: Sequence[float]) -> str:
    """p50 and p99 in milliseconds, in words."""
    p50, p99 = statistics.median(seconds), percentile(seconds, 0.99)
    return f"p50 {p50 * 1e3:.1f}, p99 {p99 * 1e3:.1f} ms"


@contextlib.asynccontextmanager
async def running(system: System) -> AsyncIterator[System]:
    """*system*, started; its logs are printed if it does not start."""
    try:
        await system.start()
        yield system
    finally:
        system.stop()


@contextlib.asynccontextmanager
async def embedded(**settings: str) -> AsyncIterator[System]:
    """`qjb up` in a temporary directory; it logs as it does at a terminal."""
    settings = {"log_level": "warning", **settings}
    with tempfile.TemporaryDirectory() as directory:
        async with running(embedded_system(Path(directory), **settings)) as system:
            yield system


@contextlib.contextmanager
def kafka_node(nodes: int = 1) -> Iterator[KafkaCluster]:
    """A real Kafka in a temporary directory."""
    with tempfile.TemporaryDirectory() as directory:
        cluster = KafkaCluster.make(Path(directory), nodes).up()
        try:
            yield cluster
        finally:
            cluster.down(hard=True)


@contextlib.asynccontextmanager
async def on_kafka(bootstrap: str) -> AsyncIterator[System]:
    """A broker, a worker with two slots and a gateway, each a process, on that Kafka."""
    with tempfile.TemporaryDirectory() as directory:
        system = kafka_system(Path(directory), bootstrap, of_each=1, log_level="warning", slots="2")
        async with running(system):
            yield system


class Watcher:
    """One SSE client on the tenant's stream: notes when each event came."""

    def __init__(self) -> None:
        self.came: dict[tuple[str, str], float] = {}
        self.wanted: dict[tuple[str, str], asyncio.Future[float]] = {}

    def hear(self, came: bytes) -> int:
        """Note the events in these bytes; how many of them are done with."""
        end, now = 0, time.perf_counter()
        for found in EVENT.finditer(came):
            end = found.end()
            self._note((found[2].decode(), found[1].decode()), now)
        return end

    def _note(self, name: tuple[str, str], now: float) -> None:
        self.came[name] = now
        if future := self.wanted.pop(name, None):
            future.set_result(now)

    async def when(self, job_id: str, kind: str) -> float:
        """When that event came; waits for it."""
        if (name := (job_id, kind)) in self.came:
            return self.came[name]
        self.wanted[name] = asyncio.get_running_loop().create_future()
        return await asyncio.wait_for(self.wanted[name], 60)


@contextlib.asynccontextmanager
async def watching(url: str) -> AsyncIterator[Watcher]:
    """A client that hears of everything from now on."""
    watcher = Watcher()
    stream = await Stream.follow(url, watcher.hear)
    try:
        yield watcher
    finally:
        stream.close()


def processor_time(pid: int) -> float:
    """User and system time of a process, in seconds; -1 if there is none."""
    times = _times(pid)
    return sum(times[:2]) if times else -1.0


def _times(pid: int) -> list[float]:
    """Seconds: its own in user and system mode, and the same of its children that are gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [int(field) / os.sysconf("SC_CLK_TCK") for field in fields[11:15]]


def spent(system: System, **others: int) -> dict[str, float]:
    """Seconds of processor time so far, by process: its loop, its threads, what it started."""
    found = {"children": 0.0}
    for name, process in system.processes.items():
        loop = _loop_time(process.pid)
        found[f"{name}'s loop"] = loop
        found[f"{name}'s threads"] = processor_time(process.pid) - loop
        found["children"] += sum(_times(process.pid)[2:])
        found["children"] += sum(sum(_times(child)) for child in offspring(process.pid))
    return found | {name: processor_time(pid) for name, pid in others.items()}


def _loop_time(pid: int) -> float:
    """Seconds of processor time of the main thread (Linux)."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def bare_aer(shots: int = 1024, times: int = 300) -> list[float]:
    """Seconds of a warm Bell circuit on Aer alone, measured in a process of its own."""
    code = (
        "import json, time\n"
        "from qiskit import QuantumCircuit\n"
        "from qiskit_aer import AerSimulator\n"
        "c = QuantumCircuit(2, 2); c.h(0); c.cx(0, 1); c.measure([0, 1], [0, 1])\n"
        "s = AerSimulator(max_parallel_threads=1); out = []\n"
        f"for _ in range({times} + 20):\n"
        "    t = time.perf_counter()\n"
        f"    s.run(c, shots={shots}).result().get_counts()\n"
        "    out.append(time.perf_counter() - t)\n"
        "print(json.dumps(out[20:]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return list(json.loads(done.stdout))
