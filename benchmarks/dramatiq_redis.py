"""No-op jobs a second, and submit → result, beside Dramatiq on Redis in the same run.

`python -m benchmarks.dramatiq_redis [--seconds S] [--tasks N]`. Needs the extra `bench` and a
`redis-server`. Durability is equal: Redis appends to its file and syncs it before it answers
(`appendfsync always`), as `qjb up` commits with `synchronous=FULL`. Each side has the two cores,
its own client in one process, and as many of them at once. Redis answers who waits for one result;
here a client hears of every event of every job.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import Connection, post
from benchmarks.common import Row, line, machine, quantiles, running, watching
from benchmarks.load import NO_OP, Load, run_load
from benchmarks.throughput import WARM
from tests.support.processes import ROOT, free_port
from tests.support.systems import embedded_system

URL = "BENCHMARK_REDIS"
THREADS = 64  # that ask at once, as many as the clients of a load
WORKERS = ("--processes", "2", "--threads", "8", "--skip-logging")  # its defaults, on two cores


@dataclass(frozen=True)
class Theirs:
    """Tasks a second without and with their results, and seconds of one at a time."""

    plain: float
    with_results: float
    took: list[float]


def missing() -> str:
    """What is not installed; empty if all is there."""
    wanted = {"redis-server": shutil.which("redis-server")}
    wanted |= {name: importlib.util.find_spec(name) for name in ("dramatiq", "redis")}
    return ", ".join(name for name, found in wanted.items() if not found)


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis that has on disk what it has acknowledged: its URL."""
    port = free_port()
    with ended(
        "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder),
        "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--logfile", "redis.log",
    ):  # fmt: skip
        yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def ended(*command: str, url: str = "") -> Iterator[None]:
    """*command* runs, and is ended after that."""
    process = subprocess.Popen(command, env={**os.environ, URL: url}, cwd=ROOT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


# The client's process: dramatiq is imported here alone.


def ask(tasks: int, times: int) -> Theirs:
    """Measure as a client of theirs."""
    from benchmarks.dramatiq_tasks import answer, broker, nothing

    def wait_for_one(_: int) -> float:
        began = time.perf_counter()
        answer.send().get_result(block=True)
        return time.perf_counter() - began

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(wait_for_one, range(200)))  # until all is connected and warm
        began = time.perf_counter()
        list(pool.map(lambda _: nothing.send(), range(tasks)))
        broker.join(nothing.queue_name, interval=5)
        plain = tasks / (time.perf_counter() - began)
        began = time.perf_counter()
        list(pool.map(wait_for_one, range(tasks)))
        with_results = tasks / (time.perf_counter() - began)
    took = [wait_for_one(number) for number in range(times)]
    return Theirs(plain, with_results, took)


async def on_redis(tasks: int, times: int) -> Theirs:
    """`ask`, in a process of its own, while workers run."""
    with tempfile.TemporaryDirectory() as folder, redis(Path(folder)) as url:
        module = "benchmarks.dramatiq_tasks"
        with ended(sys.executable, "-m", "dramatiq", module, *WORKERS, url=url):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.dramatiq_redis", "--ask",
                "--tasks", str(tasks), "--times", str(times),
                env={**os.environ, URL: url}, stdout=subprocess.PIPE,
            )  # fmt: skip
            out, _ = await process.communicate()
    assert process.returncode == 0
    return Theirs(**json.loads(out))


# This side


async def rows(seconds: float = 20, tasks: int = 10_000, times: int = 300) -> list[Row]:
    """Both, one after the other; one row that says so where something is not installed."""
    if lacking := missing():
        return [Row("Dramatiq on Redis", "", "skipped", f"not installed: {lacking}")]
    theirs = await on_redis(tasks, times)
    with tempfile.TemporaryDirectory() as folder:
        async with running(embedded_system(Path(folder), log_level="warning")) as system:
            url = system.urls[0]
            await run_load(url, Load(min(WARM, seconds)))
            ours = await run_load(url, Load(seconds))
            took = await one_at_a_time(url, times)
    print(line("qjb up: submit → completed, no-op, idle", took))
    print(line("Dramatiq on Redis: submit → result, no-op, idle", theirs.took))
    ratio = ours.rate / theirs.with_results
    return [
        Row(
            "No-op jobs/s beside Dramatiq on Redis, synced always",
            "",
            f"{ours.rate:.0f} jobs/s",
            f"with results {theirs.with_results:.0f}/s: {ratio:.2f} ×;"
            f" without {theirs.plain:.0f}/s: {ours.rate / theirs.plain:.2f} ×",
        ),
        Row(
            "No-op, submit → result, idle, beside Dramatiq on Redis, synced always",
            "",
            quantiles(took),
            f"{quantiles(theirs.took)}:"
            f" {statistics.median(took) / statistics.median(theirs.took):.2f} ×",
        ),
    ]


async def one_at_a_time(url: str, times: int) -> list[float]:
    """Seconds from submit to `completed` at an SSE client, warm."""
    connection, took = await Connection.to(url), []
    async with watching(url) as watcher:
        for number in range(times + 50):
            job_id = f"one-{number}"
            request = post("/jobs", {**NO_OP, "job_id": job_id})
            began = time.perf_counter()
            sent = asyncio.create_task(connection.ask(request))
            took.append(await watcher.when(job_id, "completed") - began)
            await sent
    connection.close()
    return took[50:]


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=300, help="one at a time")
    parser.add_argument("--ask", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ask:
        print(json.dumps(dataclasses.asdict(ask(asked.tasks, asked.times))))
        return
    print(machine())
    for row in await rows(asked.seconds, asked.tasks, asked.times):
        print(row)


if __name__ == "__main__":
    asyncio.run(main())
