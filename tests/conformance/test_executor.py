"""What every executor promises: the simulator, with both kinds of child, and the scripted one."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from executors.base import Executor, Stop
from executors.scripted import (
    DIES,
    HANGS,
    IGNORES_STOP,
    RAISES,
    Return,
    Script,
    ScriptedExecutor,
    Write,
    publishes,
)
from executors.simulator import SimulatorExecutor
from schemas.reports import LAST
from tests.support.executing import (
    UploadingExecutor,
    bodies,
    kind,
    kinds,
    last,
    log_of,
    started,
    task,
    until_begun,
    value,
)
from tests.support.programs import PROGRAMS

SLOTS = 2
SCRIPTS = {
    "returns": Script((Return("done"),)),
    "publishes": publishes(2, result="done"),
    "hangs": HANGS,
    "ignores-stop": IGNORES_STOP,
    "dies": DIES,
    "raises": RAISES,
    "writes": Script((Write("to stdout\n"), Return("done"))),
}


pytestmark = pytest.mark.asyncio(loop_scope="module")


def make(name: str) -> Executor:
    if name == "scripted":
        return ScriptedExecutor(programs=SCRIPTS)
    if name == "sandbox":
        return UploadingExecutor(SLOTS)
    return SimulatorExecutor(SLOTS, PROGRAMS)


@pytest.fixture(scope="module", params=["scripted", "simulator", "sandbox"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def executor(name: str) -> AsyncIterator[Executor]:
    """One for all tests here: what one of them breaks, the next would notice."""
    async with started(make(name)) as ready:
        yield ready


@pytest.mark.parametrize("program", ["returns", "publishes", "dies", "raises", "writes"])
async def test_began_comes_first_and_one_last_body_last(executor: Executor, program: str) -> None:
    found = await bodies(executor, task(program))

    assert kinds(found)[0] == "began"
    assert kinds(found).count("began") == 1
    assert [isinstance(body, LAST) for body in found] == [False] * (len(found) - 1) + [True]


async def test_what_is_published_comes_in_order_before_the_result(executor: Executor) -> None:
    found = await bodies(executor, task("publishes"))

    assert kinds(found) == ["began", "published", "published", "returned"]
    assert [value(body)["iteration"] for body in found[1:3]] == [0, 1]
    assert value(found[-1]) == "done"


async def test_a_stop_before_the_program_began_ends_the_attempt(executor: Executor) -> None:
    stop = Stop()
    stop.ask("user_request")

    end = await last(executor, task("hangs"), stop)

    assert (kind(end), end.reason) == ("stopped", "user_request")


async def test_a_stop_while_it_runs_ends_the_attempt(executor: Executor) -> None:
    stop = Stop()
    run, following = await until_begun(executor, task("hangs"), stop)

    stop.ask("user_request")

    end = await following
    assert (kind(end), end.reason) == ("stopped", "user_request")
    assert [body async for body in run] == []


async def test_a_stop_after_the_result_changes_nothing(executor: Executor) -> None:
    stop = Stop()
    found = await bodies(executor, task("returns"), stop)

    stop.ask("user_request")

    assert kind(found[-1]) == "returned"
    assert kind(await last(executor, task("returns"))) == "returned"


async def test_the_first_reason_to_stop_stands(executor: Executor) -> None:
    stop = Stop()
    _, following = await until_begun(executor, task("hangs"), stop)

    stop.ask("worker_lost")
    stop.ask("user_request")

    assert (await following).reason == "worker_lost"


@pytest.mark.parametrize("program", ["hangs", "ignores-stop"])
async def test_the_time_limit_ends_the_attempt(executor: Executor, program: str) -> None:
    end = await last(executor, task(program, limit=0.2))

    assert (kind(end), end.reason) == ("stopped", "ran_too_long")


async def test_a_program_that_raises_is_told_with_its_traceback(executor: Executor) -> None:
    end = await last(executor, task("raises"))

    assert (kind(end), end.reason) == ("raised", "program_error")
    assert "Traceback" in end.message


async def test_what_died_is_told_as_a_death_and_says_how(executor: Executor) -> None:
    end = await last(executor, task("dies"))

    assert (kind(end), end.reason) == ("died", "child_died")
    assert "SIGKILL" in end.message


async def test_the_log_comes_before_the_end(executor: Executor) -> None:
    found = await bodies(executor, task("writes"))

    assert "to stdout\n" in log_of(found)
    assert kind(found[-1]) == "returned"


async def test_closing_the_run_early_frees_the_slot(executor: Executor) -> None:
    for _ in range(SLOTS + 2):
        run = executor.run(task("hangs"), Stop())
        await anext(run)
        await run.aclose()

    assert kind(await last(executor, task("returns"))) == "returned"


async def test_many_attempts_run_one_after_the_other(executor: Executor) -> None:
    for number in range(50):
        found = await bodies(executor, task("returns", {"value": "done"}, job_id=f"j{number}"))
        assert kinds(found) == ["began", "returned"]


async def test_as_many_run_at_once_as_there_are_slots(executor: Executor) -> None:
    stops = [Stop() for _ in range(SLOTS)]
    runs = [await until_begun(executor, task("hangs"), stop) for stop in stops]

    for stop in stops:
        stop.ask("user_request")

    assert [kind(await following) for _, following in runs] == ["stopped"] * SLOTS


async def test_closing_the_executor_ends_what_runs_as_worth_another_try(name: str) -> None:
    executor = make(name)
    announced = await executor.start()
    _, following = await until_begun(executor, task("hangs"), Stop())

    await executor.close()

    end = await asyncio.wait_for(following, 10)
    assert (kind(end), end.reason) == ("died", "worker_stopped")
    for backend in announced:
        assert backend.num_qubits > 0
        assert b"online_date" in bytes(backend.configuration)
        assert b'"name":"delay"' in bytes(backend.configuration)
