"""The scripted executor plays what it is told; what every executor promises is tested elsewhere."""

import asyncio
from dataclasses import replace

import pytest

from executors.base import Stop, Task
from executors.scripted import (
    CRASHES,
    DIES,
    HANGS,
    IGNORES_STOP,
    RETURNS,
    ScriptedExecutor,
    drill,
    publishes,
)
from schemas.reports import Body
from tests.support.awaiting import steps


def task(job_id: str = "j1", attempt: int = 1, limit: float = 60.0) -> Task:
    return Task("default", job_id, attempt, "hello-world", "v1", b"{}", "scripted", limit)


async def kinds(executor: ScriptedExecutor, job: Task, stop: Stop | None = None) -> list[str]:
    return [kind(body) async for body in executor.run(job, stop or Stop())]


def kind(body: Body) -> str:
    return str(body.__struct_config__.tag)


async def test_a_jobs_script_goes_before_its_programs() -> None:
    executor = ScriptedExecutor(RETURNS, programs={"hello-world": publishes(2)}, jobs={"j1": DIES})

    assert await kinds(executor, task("j1")) == ["began", "died"]
    assert await kinds(executor, task("j2")) == ["began", "published", "published", "returned"]


async def test_each_attempt_may_have_a_script_of_its_own() -> None:
    executor = ScriptedExecutor([DIES, DIES, RETURNS])

    ends = [(await kinds(executor, task(attempt=number)))[-1] for number in (1, 2, 3, 4)]

    assert ends == ["died", "died", "returned", "returned"]


async def test_a_script_that_ignores_stop_ends_at_its_time_limit_only() -> None:
    stop = Stop()
    stop.ask("user_request")

    bodies = [body async for body in ScriptedExecutor(IGNORES_STOP).run(task(limit=0.05), stop)]

    assert bodies[-1].reason == "ran_too_long"


async def test_a_crash_comes_out_of_the_executor() -> None:
    executor = ScriptedExecutor(CRASHES)

    with pytest.raises(RuntimeError, match="scripted crash"):
        await kinds(executor, task())
    assert executor.running == []


async def test_closing_it_ends_what_hangs() -> None:
    executor = ScriptedExecutor(HANGS)
    run = executor.run(task(), Stop())
    await anext(run)
    end = asyncio.ensure_future(anext(run))
    await steps()

    await executor.close()

    assert kind(await end) == "died"


def test_a_drill_takes_as_many_seconds_as_the_job_has_iterations() -> None:
    assert drill(replace(task(), inputs=b'{"iterations": 3}')) == publishes(3, every=1.0)
    assert drill(task()) == publishes(1, every=1.0)
