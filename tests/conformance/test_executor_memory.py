"""What a program may use of memory and time, and how it ends that wants more: in words, and once."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from executors.simulator import SimulatorExecutor
from tests.support.circuits import BELL_2, large
from tests.support.executing import kind, last, started, task, value
from tests.support.programs import PROGRAMS

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
EACH = "the program needed more than the 200 MiB of memory that a job may use here"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def executor() -> AsyncIterator[SimulatorExecutor]:
    made = SimulatorExecutor(2, PROGRAMS, memory=400 * MIB)
    async with started(made):
        yield made


@pytest.mark.parametrize(
    "program", ["fills-memory", "asks-for-too-much", "aborts-for-want-of-memory"]
)
async def test_who_needs_more_memory_than_a_slot_has_is_told_how_much_that_is(
    executor: SimulatorExecutor, program: str
) -> None:
    end = await last(executor, task(program))

    assert (kind(end), end.reason) == ("raised", "out_of_memory")
    assert end.message.startswith(EACH)
    assert "Traceback" not in end.message


async def test_a_simulation_that_is_too_large_ends_in_words(executor: SimulatorExecutor) -> None:
    inputs = {"circuits": large(26, depth=3), "run_config": {"method": "statevector"}}

    end = await last(executor, task("sampler", inputs))

    assert kind(end) == "raised"
    assert end.message.startswith(EACH) or "MiB" in end.message  # or it was seen before it began


async def test_what_fits_runs_and_the_next_finds_all_of_it_free_again(
    executor: SimulatorExecutor,
) -> None:
    for _ in range(3):
        assert value(await last(executor, task("fills-memory", {"mib": 120}))) == 120


async def test_what_breaks_for_want_of_memory_is_told_as_that(executor: SimulatorExecutor) -> None:
    end = await last(executor, task("translates-a-want-of-memory"))

    assert (kind(end), end.reason) == ("raised", "out_of_memory")


async def test_a_result_may_have_as_much_as_there_is_memory_for(
    executor: SimulatorExecutor,
) -> None:
    end = await last(executor, task("returns-a-text", {"mib": 50}))

    assert value(end) == ["x" * 50 * MIB]


async def test_a_result_that_takes_more_memory_than_there_is_ends_in_words(
    executor: SimulatorExecutor,
) -> None:
    end = await last(executor, task("returns-a-text", {"mib": 10, "times": 1000}))

    assert (kind(end), end.reason) == ("raised", "out_of_memory")
    assert end.message.startswith(EACH)


async def test_others_are_not_touched(executor: SimulatorExecutor) -> None:
    await last(executor, task("fills-memory"))

    assert kind(await last(executor, task("sampler", {"circuits": BELL_2}))) == "returned"


async def test_a_crash_is_told_as_one_since_it_may_happen_again(
    executor: SimulatorExecutor,
) -> None:
    end = await last(executor, task("crashes"))

    assert (kind(end), end.reason) == ("died", "child_crashed")
    assert end.message == "the child process crashed: killed by SIGSEGV"


async def test_inputs_that_take_too_long_to_decode_are_at_fault() -> None:
    async with started(SimulatorExecutor(1, PROGRAMS, decoding=0.3)) as executor:
        await last(executor, task("returns"))  # so that a process is there
        slow = (
            b'{"value": [' + b",".join([b'{"__type__": "set", "__value__": []}'] * 200_000) + b"]}"
        )
        end = await last(executor, task("returns", slow))
        other = await last(executor, task("returns"))

    assert (kind(end), end.reason) == ("raised", "invalid_inputs")
    assert end.message == "the inputs could not be decoded within 0.3 s"
    assert kind(other) == "returned"
