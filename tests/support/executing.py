"""Tasks in short form, and what comes of them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import psutil

from executors.base import Executor, Stop, Task, Uploaded
from executors.simulator import SimulatorExecutor
from schemas.reports import Body
from schemas.specification import Specification
from tests.support import programs
from tests.support.awaiting import eventually


def task(
    program_id: str,
    inputs: dict[str, Any] | bytes | None = None,
    *,
    job_id: str = "j1",
    backend: str = "aer_simulator",
    limit: float = 60.0,
) -> Task:
    data = inputs if isinstance(inputs, bytes) else json.dumps(inputs or {}).encode()
    return Task("default", job_id, 1, program_id, "v1", data, backend, limit)


def uploaded(code: str, name: str = "p") -> Uploaded:
    """A program of a user, which declares nothing."""
    return Uploaded(Specification(id="p", name=name, max_execution_time=0), code.encode())


class UploadingExecutor(SimulatorExecutor):
    """Takes each of our programs for one that a user has uploaded: its source goes along."""

    def run(self, task: Task, stop: Stop) -> AsyncGenerator[Body, None]:
        name = programs.PROGRAMS[task.program_id].partition(":")[2]
        code = Path(programs.__file__).read_text() + f"\n\nmain = {name}\n"
        return super().run(replace(task, uploaded=uploaded(code)), stop)


async def bodies(executor: Executor, job: Task, stop: Stop | None = None) -> list[Body]:
    found = [body async for body in executor.run(job, stop or Stop())]
    for body in found:
        assert msgspec.json.decode(msgspec.json.encode(body), type=Body) == body  # it can travel
    return found


async def last(executor: Executor, job: Task, stop: Stop | None = None) -> Any:
    return (await bodies(executor, job, stop))[-1]


def kind(body: Body) -> str:
    return str(body.__struct_config__.tag)


def kinds(found: list[Body]) -> list[str]:
    return [kind(body) for body in found]


def value(body: Any) -> Any:
    return json.loads(bytes(body.value))


def log_of(found: list[Body]) -> str:
    return "".join(body.text for body in found if kind(body) == "logged")


async def until_begun(executor: Executor, job: Task, stop: Stop) -> tuple[Any, asyncio.Future[Any]]:
    """A run that has begun, and the body that comes next."""
    run = executor.run(job, stop)
    assert kind(await anext(run)) == "began"
    return run, asyncio.ensure_future(_next_news(run))


async def _next_news(run: AsyncGenerator[Body, None]) -> Body:
    """What comes next, but for which calibration is in force: devices say that at once."""
    body = await anext(run)
    return await anext(run) if kind(body) == "calibrated" else body


@asynccontextmanager
async def started(executor: Executor) -> AsyncIterator[Executor]:
    await executor.start()
    try:
        yield executor
    finally:
        await executor.close()


async def gone(pid: int, within: float = 10.0) -> None:
    """Wait until process *pid* has ended; a zombie has."""
    async with asyncio.timeout(within):
        with contextlib.suppress(psutil.NoSuchProcess):
            await eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
