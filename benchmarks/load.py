"""Jobs for a system to run, from a process of its own: `python -m benchmarks.load URL JSON`."""

import asyncio
import dataclasses
import itertools
import json
import subprocess
import sys
import time
from dataclasses import dataclass

from benchmarks.client import Connection, Stream, get, post

NO_OP = {"program_id": "hello-world", "params": {"iterations": 0}}
COMPLETED = b"\nevent: completed\n"
STEP = 500  # jobs from one mark to the next


@dataclass(frozen=True)
class Load:
    """For so many seconds and at least so many jobs, from so many connections."""

    seconds: float
    clients: int = 64
    jobs: int = 0
    batch: int = 1  # jobs a request
    ahead: int = 200  # jobs that are asked for and have not completed
    job: dict[str, object] = dataclasses.field(default_factory=lambda: NO_OP)

    @property
    def request(self) -> bytes:
        return post("/jobs", self.job if self.batch == 1 else {"jobs": [self.job] * self.batch})


@dataclass(frozen=True)
class Done:
    """What came of a load."""

    completed: int
    seconds: float
    cpu: float  # s of the load itself
    marks: list[tuple[int, float]]  # so many had completed after so many seconds

    @property
    def rate(self) -> float:
        return self.completed / self.seconds

    def rates(self, parts: int) -> list[float]:
        """Jobs a second in each of as many parts, equal in jobs; in fewer if it was short."""
        last = len(self.marks) - 1
        parts = min(parts, last)
        chosen = [self.marks[last * n // parts] for n in range(parts + 1)]
        pairs = itertools.pairwise(chosen)
        return [(jobs - before) / (at - since) for (before, since), (jobs, at) in pairs]


async def bear(url: str, load: Load) -> Done:
    """Submit, never further ahead than is allowed, until it is enough; then wait for the rest."""
    ahead = asyncio.Semaphore(max(1, load.ahead // load.batch))
    completed, submitted, released = 0, 0, 0
    marks = [(0, 0.0)]

    def hear(came: bytes) -> int:
        nonlocal completed, released
        completed += came.count(COMPLETED)
        while released < completed // load.batch:
            released += 1
            ahead.release()
        if completed >= marks[-1][0] + STEP:
            marks.append((completed, time.perf_counter() - began))
        return max(0, len(came) - len(COMPLETED) + 1)

    async def submit() -> None:
        nonlocal submitted
        connection = await Connection.to(url)
        while time.perf_counter() < began + load.seconds or submitted < load.jobs:
            await ahead.acquire()
            submitted += load.batch
            answer = await connection.ask(request)
            assert load.batch == 1 or answer.endswith(b'"refused":0}'), answer
        connection.close()

    request = load.request
    began = time.perf_counter()
    stream = await Stream.follow(url, hear)
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(submit() for _ in range(load.clients)))
    async with asyncio.timeout(60):
        while completed < submitted:
            await asyncio.sleep(0.005)
    took = time.perf_counter() - began
    stream.close()
    marks.append((completed, took))
    return Done(completed, took, time.process_time() - cpu, marks)


async def run_load(url: str, load: Load) -> Done:
    """`bear` in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.load", url, json.dumps(dataclasses.asdict(load)),
        stdout=subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    return Done(**json.loads(out))


async def bare_http(url: str, clients: int = 64, seconds: float = 3.0) -> float:
    """`GET /live` a second, from as many clients."""
    count, until = 0, time.perf_counter() + seconds

    async def ask() -> None:
        nonlocal count
        connection = await Connection.to(url)
        while time.perf_counter() < until:
            await connection.ask(get("/live"))
            count += 1
        connection.close()

    await asyncio.gather(*(ask() for _ in range(clients)))
    return count / seconds


if __name__ == "__main__":
    done = asyncio.run(bear(sys.argv[1], Load(**json.loads(sys.argv[2]))))
    print(json.dumps(dataclasses.asdict(done)))
