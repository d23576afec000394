"""What every executor promises: simulators, devices of vendors, another installation, and the scripted one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from executors.base import Executor, Stop, Task
from schemas.calls import Call
from schemas.reports import LAST, Accepted, Intended, Metered, Parked, Raised
from tests.support.executing import (
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
from tests.support.executors import KINDS, SLOTS, Kind, making
from tests.support.federation import Far, far_installation

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]
TOO_WIDE = "OPENQASM 3.0; qubit[64] q; bit c; c = measure q[63];"

Made = Callable[..., Task]


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    with far_installation(tmp_path_factory.mktemp("far")) as found:
        yield found


@pytest.fixture(scope="module", params=KINDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def its(name: str) -> Kind:
    return KINDS[name]


@pytest.fixture(scope="module")
def make(name: str, request: pytest.FixtureRequest) -> Callable[[], Executor]:
    return making(name, request)


@pytest.fixture(scope="module")
def job(its: Kind) -> Made:
    """A task on its backend."""
    return partial(task, backend=its.backend)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def executor(make: Callable[[], Executor]) -> AsyncIterator[Executor]:
    """One for all tests here: what one of them breaks, the next would notice."""
    async with started(make()) as ready:
        yield ready


def news(found: list[Any]) -> list[str]:
    """Their kinds, but for which calibration was in force."""
    return [each for each in kinds(found) if each != "calibrated"]


@pytest.mark.parametrize("program", ["returns", "publishes", "dies", "raises", "writes"])
async def test_began_comes_first_and_one_last_body_last(
    executor: Executor, job: Made, program: str
) -> None:
    found = await bodies(executor, job(program))

    assert kinds(found)[0] == "began"
    assert kinds(found).count("began") == 1
    assert [isinstance(body, LAST) for body in found] == [False] * (len(found) - 1) + [True]


async def test_what_is_published_comes_in_order_before_the_result(
    executor: Executor, job: Made
) -> None:
    found = await bodies(executor, job("publishes"))

    assert news(found) == ["began", "published", "published", "returned"]
    published = [body for body in found if kind(body) == "published"]
    assert [value(body)["iteration"] for body in published] == [0, 1]
    assert value(found[-1]) == "done"


async def test_a_stop_before_the_program_began_ends_the_attempt(
    executor: Executor, job: Made
) -> None:
    stop = Stop()
    stop.ask("user_request")

    end = await last(executor, job("hangs"), stop)

    assert (kind(end), end.reason) == ("stopped", "user_request")


async def test_a_stop_while_it_runs_ends_the_attempt(executor: Executor, job: Made) -> None:
    stop = Stop()
    run, following = await until_begun(executor, job("hangs"), stop)

    stop.ask("user_request")

    end = await following
    assert (kind(end), end.reason) == ("stopped", "user_request")
    assert [body async for body in run] == []


async def test_a_stop_after_the_result_changes_nothing(executor: Executor, job: Made) -> None:
    stop = Stop()
    found = await bodies(executor, job("returns"), stop)

    stop.ask("user_request")

    assert kind(found[-1]) == "returned"
    assert kind(await last(executor, job("returns"))) == "returned"


async def test_the_first_reason_to_stop_stands(executor: Executor, job: Made) -> None:
    stop = Stop()
    _, following = await until_begun(executor, job("hangs"), stop)

    stop.ask("worker_lost")
    stop.ask("user_request")

    assert (await following).reason == "worker_lost"


@pytest.mark.parametrize("program", ["hangs", "ignores-stop"])
async def test_the_time_limit_ends_the_attempt(executor: Executor, job: Made, program: str) -> None:
    end = await last(executor, job(program, limit=0.2))

    assert (kind(end), end.reason) == ("stopped", "ran_too_long")


async def test_a_program_that_raises_is_told_with_its_traceback(
    executor: Executor, job: Made
) -> None:
    end = await last(executor, job("raises"))

    assert (kind(end), end.reason) == ("raised", "program_error")
    assert "Traceback" in end.message


async def test_what_died_is_told_as_a_death_and_says_how(executor: Executor, job: Made) -> None:
    end = await last(executor, job("dies"))

    assert (kind(end), end.reason) == ("died", "child_died")
    assert "SIGKILL" in end.message


async def test_the_log_comes_before_the_end(executor: Executor, job: Made) -> None:
    found = await bodies(executor, job("writes"))

    assert "to stdout\n" in log_of(found)
    assert kind(found[-1]) == "returned"


async def test_closing_the_run_early_frees_the_slot(executor: Executor, job: Made) -> None:
    for _ in range(SLOTS + 2):
        run = executor.run(job("hangs"), Stop())
        await anext(run)
        await run.aclose()

    assert kind(await last(executor, job("returns"))) == "returned"


async def test_many_attempts_run_one_after_the_other(executor: Executor, job: Made) -> None:
    for number in range(50):
        found = await bodies(executor, job("returns", {"value": "done"}, job_id=f"j{number}"))
        assert news(found) == ["began", "returned"]


async def test_as_many_run_at_once_as_there_are_slots(executor: Executor, job: Made) -> None:
    stops = [Stop() for _ in range(SLOTS)]
    runs = [await until_begun(executor, job("hangs"), stop) for stop in stops]

    for stop in stops:
        stop.ask("user_request")

    assert [kind(await following) for _, following in runs] == ["stopped"] * SLOTS


async def test_closing_the_executor_ends_what_runs_as_worth_another_try(
    make: Callable[[], Executor], job: Made
) -> None:
    executor = make()
    announced = await executor.start()
    _, following = await until_begun(executor, job("hangs"), Stop())

    await executor.close()

    end = await asyncio.wait_for(following, 10)
    assert (kind(end), end.reason) == ("died", "worker_stopped")
    for backend in announced:
        assert backend.num_qubits > 0
        assert b"online_date" in bytes(backend.configuration)
        assert b'"name":"delay"' in bytes(backend.configuration)


@pytest.fixture
def circuits(its: Kind) -> None:
    """Of those that run circuits."""
    if not its.runs_circuits:
        pytest.skip("it runs no circuits of this program")


@pytest.fixture
def calls(its: Kind) -> None:
    """Of those whose circuits are calls."""
    if not its.is_device:
        pytest.skip("it pays nobody")


@pytest.mark.usefixtures("circuits")
async def test_circuits_are_measured(executor: Executor, job: Made) -> None:
    found = await bodies(executor, job("calls", {"times": 3}, job_id="measured"))

    assert kind(found[-1]) == "returned", found[-1]
    most = [max(counts, key=counts.get) for counts in value(found[-1])]
    assert most == ["000", "001", "010"]


@pytest.mark.usefixtures("circuits")
async def test_a_circuit_that_is_too_wide_is_refused_with_the_reason(
    executor: Executor, job: Made, its: Kind
) -> None:
    if not its.is_limited:
        pytest.skip("it simulates circuits of any width, if they are simple")
    end = await last(executor, job("circuit-runner", {"circuits": [TOO_WIDE]}, job_id="wide"))

    assert isinstance(end, Raised)
    assert end.reason in ("invalid_inputs", "backend_error")
    assert "64" in end.message


@pytest.mark.usefixtures("calls")
async def test_each_call_is_told_and_metered(executor: Executor, job: Made) -> None:
    found = await bodies(executor, job("calls-together", {"times": 3}, job_id="together"))

    assert kind(found[-1]) == "returned", found[-1]
    tags = [body.tag for body in found if isinstance(body, Intended)]
    assert len(set(tags)) == 3
    for told in (Accepted, Metered):
        assert sorted(body.tag for body in found if isinstance(body, told)) == sorted(tags)


@pytest.mark.usefixtures("calls")
async def test_a_call_of_an_earlier_attempt_is_taken_up_or_the_job_is_parked(
    make: Callable[[], Executor], executor: Executor, job: Made, its: Kind
) -> None:
    asked = job("calls", {"times": 1}, job_id="earlier")
    run = executor.run(asked, Stop())
    async for body in run:
        if isinstance(body, Accepted):
            break
    await run.aclose()
    assert isinstance(body, Accepted)
    call = Call(tag=body.tag, number=1, attempt=1, vendor_job_id=body.vendor_job_id)
    async with started(make()) as elsewhere:
        found = await bodies(elsewhere, replace(asked, attempt=2, calls=(call,)))

    assert not [body for body in found if isinstance(body, Intended | Accepted)]
    if its.forgets:
        assert isinstance(found[-1], Parked)
        assert "can not be asked for jobs of an earlier process" in found[-1].message
    else:
        assert kind(found[-1]) == "returned", found[-1]
