"""Nothing of an attempt outlives it or speaks for another, whatever a program does."""

from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
import pytest_asyncio

from executors.base import Stop
from executors.children.frames import Kind
from executors.children.pool import SPARES
from executors.simulator import SimulatorExecutor
from tests.support.awaiting import eventually
from tests.support.circuits import BELL_2
from tests.support.executing import bodies, gone, kind, kinds, last, log_of, started, task, value
from tests.support.programs import PROGRAMS

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORGED = '{"kind": "raised", "reason": "invalid_result", "message": "it breaks"}'
FIRST = (
    1  # as children are not used again after these programs, all their attempts have this number
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def executor() -> AsyncIterator[SimulatorExecutor]:
    """One slot, so that each attempt follows the one before as closely as it can."""
    made = SimulatorExecutor(1, PROGRAMS)
    async with started(made):
        yield made


def workers(executor: SimulatorExecutor) -> set[int]:
    return {child.pid for child in psutil.Process(executor.fork_server_pid).children()}


@pytest.mark.parametrize("program", ["starts-a-process", "starts-a-daemon"])
@pytest.mark.parametrize(("end", "last_word"), [("dies", "died"), ("returns", "returned")])
async def test_an_attempt_that_ends_takes_along_what_it_started(
    executor: SimulatorExecutor, program: str, end: str, last_word: str
) -> None:
    found = await bodies(executor, task(program, {"end": end}))

    assert kinds(found) == ["began", "published", last_word]
    await gone(value(found[1])["pid"])


@pytest.mark.parametrize("program", ["starts-a-process", "starts-a-daemon"])
async def test_a_stop_takes_along_what_the_program_started(
    executor: SimulatorExecutor, program: str
) -> None:
    stop = Stop()
    run = executor.run(task(program, {"end": "hangs"}), stop)
    await anext(run)
    pid = value(await anext(run))["pid"]

    stop.ask("user_request")
    end = await anext(run)

    assert kind(end) == "stopped"
    await gone(pid)


async def test_a_daemon_does_not_outlive_the_executor() -> None:
    async with started(SimulatorExecutor(1, PROGRAMS)) as executor:
        run = executor.run(task("starts-a-daemon", {"end": "hangs"}), Stop())
        await anext(run)
        pid = value(await anext(run))["pid"]

    await gone(pid)


async def test_a_thread_that_goes_on_is_not_heard_in_the_next_attempt(
    executor: SimulatorExecutor,
) -> None:
    for _ in range(3):
        found = await bodies(executor, task("leaves-a-thread"))
        following = await bodies(executor, task("returns"))

        assert kind(found[-1]) == "returned"
        assert kinds(following) == ["began", "returned"]
        assert log_of(following) == ""
        await gone(value(found[-1]))


async def test_threads_of_a_program_may_publish_at_once(executor: SimulatorExecutor) -> None:
    found = await bodies(executor, task("publishes-from-threads"))

    assert kinds(found) == ["began", *["published"] * 200, "returned"]
    assert {len(set(value(body))) for body in found[1:-1]} == {1}


async def test_what_a_program_changes_of_its_process_is_not_found_by_the_next(
    executor: SimulatorExecutor,
) -> None:
    first = value(await last(executor, task("changes-its-process")))
    second = value(await last(executor, task("changes-its-process")))

    assert first == second


async def test_children_that_ran_built_in_programs_are_used_again() -> None:
    async with started(SimulatorExecutor(1, PROGRAMS)) as executor:  # no child of it is ending
        await eventually(lambda: len(workers(executor)) == 1 + SPARES)
        before = workers(executor)

        for program in ("sampler", "circuit-runner"):
            for backend in ("aer_simulator", "fake_line_5"):
                job = task(program, {"circuits": BELL_2}, backend=backend)
                assert kind(await last(executor, job)) == "returned"

        assert workers(executor) == before


@pytest.mark.parametrize(
    ("program", "inputs"),
    [
        ("writes-garbage", {}),
        ("writes-garbage", {"ends": True}),
        ("closes-its-connection", {}),
        ("forges", {"kind": Kind.PUBLISHED, "text": '{"iteration": ', "attempt": FIRST}),
        ("forges", {"kind": Kind.PUBLISHED, "text": '"\xff"', "attempt": FIRST}),
        ("forges", {"kind": Kind.RETURNED, "text": "", "attempt": FIRST}),
        ("forges", {"kind": Kind.RAISED, "text": "[1, 2]", "attempt": FIRST}),
        ("forges", {"kind": Kind.RAISED, "text": '{"kind": "raised"}', "attempt": FIRST}),
        ("forges", {"kind": Kind.RAISED, "text": FORGED + "\n[1, ", "attempt": FIRST}),
        ("forges", {"kind": Kind.WITHHELD, "text": "{}", "attempt": FIRST}),
        ("forges", {"kind": Kind.BEGAN, "text": "", "attempt": FIRST}),
        ("forges", {"kind": Kind.ENDED, "text": "{}", "attempt": FIRST}),
        ("forges", {"kind": 77, "text": "", "attempt": FIRST}),
    ],
)
async def test_who_breaks_the_connection_of_its_process_ends_itself_only_and_in_words(
    executor: SimulatorExecutor, program: str, inputs: dict[str, Any]
) -> None:
    end = await last(executor, task(program, inputs))

    assert (kind(end), end.reason) == ("raised", "program_error")
    assert end.message.startswith("the program broke the connection of its process")
    assert kinds(await bodies(executor, task("returns"))) == ["began", "returned"]


@pytest.mark.parametrize("attempt", [0, 2, 4_000_000_000])
@pytest.mark.parametrize("said", [Kind.RETURNED, Kind.RAISED, Kind.PUBLISHED])
async def test_a_frame_about_another_attempt_is_void(
    executor: SimulatorExecutor, said: Kind, attempt: int
) -> None:
    inputs = {"kind": said, "text": '"forged"', "attempt": attempt}

    found = await bodies(executor, task("forges", inputs))

    assert kinds(found) == ["began", "returned"]
    assert value(found[-1]) == "its own"
