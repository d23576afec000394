"""What holds of devices: circuits go to the vendor as one job for each call, and are paid once."""

import asyncio
import inspect
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest
import pytest_asyncio

from executors.base import Stop
from executors.hardware.executor import HardwareExecutor
from executors.hardware.process import DeviceError, DeviceProcess
from executors.hardware.said import SAME_JOB
from executors.hardware.specs import DeviceSpec
from schemas.calls import Call
from schemas.reports import (
    Accepted,
    Body,
    Calibrated,
    Died,
    Intended,
    Metered,
    Parked,
    Raised,
    Stopped,
    Withdrawn,
)
from tests.support import device_programs
from tests.support.awaiting import eventually, stays, steps
from tests.support.devices import BELL, DRILL, FAKE, NAME, Books, Children, hardware, near
from tests.support.executing import bodies, kinds, last, log_of, started, uploaded, value
from tests.support.federation import Far, far_installation
from tests.support.stubborn import stubborn

FACTS = ["intended", "accepted", "metered"]


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    with far_installation(tmp_path_factory.mktemp("far")) as found:
        yield found


KINDS = ["badly behaved", "fake of an SDK", "another installation", "another through QRMI"]


@pytest.fixture(params=KINDS)
def spec(request: pytest.FixtureRequest, books: Books) -> DeviceSpec:
    """One of each kind."""
    if request.param == "badly behaved":
        return books.spec(lose_every=2, busy_every=5, odd_every=3, queue=0.05)
    if request.param == "fake of an SDK":
        return DeviceSpec(NAME, FAKE)
    far: Far = request.getfixturevalue("far")
    return far.spec() if request.param == "another installation" else far.spec_by_qrmi()


@pytest_asyncio.fixture(loop_scope="module")
async def device(spec: DeviceSpec, children: Children) -> AsyncIterator[HardwareExecutor]:
    async with started(hardware(spec, children)) as ready:
        assert isinstance(ready, HardwareExecutor)
        yield ready


At = Callable[..., AbstractAsyncContextManager[HardwareExecutor]]


@pytest.fixture
def at(books: Books, children: Children) -> At:
    """The device that behaves badly, with such manners, while the block runs."""

    @asynccontextmanager
    async def reached(**manners: Any) -> AsyncIterator[HardwareExecutor]:
        executor = hardware(books.spec(**manners), children)
        async with started(executor):
            yield executor

    return reached


async def until_fact(run: Any, kind: type[Body]) -> list[Body]:
    """What it says up to that fact, which is on record when it returns."""
    found = []
    async for body in run:
        found.append(body)
        if isinstance(body, kind):
            return found
    raise AssertionError(kinds(found))


def facts(found: list[Body]) -> list[str]:
    return [kind for kind in kinds(found) if kind in (*FACTS, "withdrawn")]


async def test_each_call_is_one_job_of_the_vendor(device: HardwareExecutor) -> None:
    found = await bodies(device, near("calls", {"times": 3}))

    assert facts(found) == FACTS * 3
    assert [body.call for body in found if isinstance(body, Intended)] == [1, 2, 3]
    ids = [body.vendor_job_id for body in found if isinstance(body, Accepted)]
    assert len(set(ids)) == 3
    assert all(body.final for body in found if isinstance(body, Metered))
    most = [max(counts, key=counts.get) for counts in value(found[-1])]
    assert most == ["000", "001", "010"]


async def test_calls_may_be_under_way_together(device: HardwareExecutor) -> None:
    found = await bodies(device, near("calls-together", {"times": 3}))

    assert sorted(facts(found)) == sorted(FACTS * 3)
    most = [max(counts, key=counts.get) for counts in value(found[-1])]
    assert most == ["000", "001", "010"]


async def test_built_in_programs_run_on_a_device(device: HardwareExecutor) -> None:
    state = BELL.replace("bit[2] c;", "").replace("c = measure q;", "")
    for program, inputs in (
        ("sampler", {"pubs": [[BELL, None, 200]]}),
        ("circuit-runner", {"circuits": [BELL], "shots": 200}),
        ("estimator", {"circuits": [state], "observables": ["ZZ"]}),
    ):
        found = await bodies(device, near(program, inputs))
        assert kinds(found)[-1] == "returned", found[-1]
        assert facts(found) == FACTS


async def test_the_calibration_in_force_is_told(device: HardwareExecutor) -> None:
    found = await bodies(device, near("calls", {}))

    (told,) = [body for body in found if isinstance(body, Calibrated)]
    assert told.calibration_id
    assert b"gate_error" in bytes(told.properties)


async def test_a_brought_program_reaches_the_device_from_its_sandbox(
    device: HardwareExecutor,
) -> None:
    code = inspect.getsource(device_programs) + "\nmain = calls\n"
    task = replace(near("p", {"times": 2}), uploaded=uploaded(code))
    found = await bodies(device, task)

    assert facts(found) == FACTS * 2
    assert kinds(found)[-1] == "returned", found[-1]


async def test_a_dry_run_asks_the_device_for_nothing(books: Books, at: At) -> None:
    async with at() as device:
        inputs = {"circuits": [BELL], "shots": 5}
        found = await bodies(device, near("circuit-runner", inputs, backend="mock_one"))

    assert kinds(found)[-1] == "returned", found[-1]
    assert not books.tags()


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("calls-what-is-not-there", "rxx on 0, 1 is refused: the device does not offer it there"),
        ("calls-with-control-flow", "has if_else: control flow does not go to devices here"),
    ],
)
async def test_what_the_device_has_not_is_refused_with_the_reason(
    books: Books, at: At, program: str, why: str
) -> None:
    async with at() as device:
        end = await last(device, near(program, {}))

    assert isinstance(end, Raised)
    assert end.reason in ("backend_error", "invalid_inputs")
    assert why in end.message
    assert not books.tags()


async def test_a_circuit_that_is_too_wide_is_refused_before_anything_is_asked(
    books: Books,
    at: At,
) -> None:
    async with at() as device:
        wide = "OPENQASM 3.0; qubit[9] q; bit c; c = measure q[8];"
        found = await bodies(device, near("circuit-runner", {"circuits": [wide]}))

    assert isinstance(found[-1], Raised)
    assert "circuits[0] has 9 qubits, dev_one has 5" in found[-1].message
    assert not facts(found)


async def test_a_lost_answer_is_looked_up_and_nothing_is_paid_twice(books: Books, at: At) -> None:
    async with at(lose_every=1) as device:
        found = await bodies(device, near("calls", {"times": 3}))

    assert kinds(found)[-1] == "returned"
    assert len(books.tags()) == len(set(books.tags())) == 3
    assert "the connection was cut" in log_of(found)


async def test_a_lost_answer_of_a_vendor_that_can_not_say_parks_the_job(
    books: Books, at: At
) -> None:
    async with at(lose_every=1, finds=False) as device:
        found = await bodies(device, near("calls", {}))

    assert isinstance(found[-1], Parked)
    assert found[-1].tag == books.tags()[0]
    assert "can not be asked for jobs by a tag" in found[-1].message


async def test_a_status_that_nobody_knows_is_shown_and_waited_through(books: Books, at: At) -> None:
    async with at(odd_every=2, queue=0.2) as device:
        found = await bodies(device, near("calls", {}))

    assert kinds(found)[-1] == "returned"
    assert "recalibrating the flux capacitor" in log_of(found)


async def test_a_device_under_maintenance_is_waited_for(books: Books, at: At) -> None:
    async with at() as device:
        books.maintenance.touch()
        run = device.run(near("calls", {}), Stop())
        await until_fact(run, Intended)
        rest = asyncio.ensure_future(anext(run))
        assert not books.tags()
        books.maintenance.unlink()
        found = [await rest, *[body async for body in run]]

    assert kinds(found)[-1] == "returned"
    assert len(books.tags()) == 1


async def test_an_attempt_whose_job_is_tried_again_leaves_a_device_that_is_away(
    books: Books, children: Children
) -> None:
    async with started(hardware(books.spec(), children, away_for=0.5)) as device:
        books.maintenance.touch()
        found = await bodies(device, near("calls", {}, leaves=True))
        books.maintenance.unlink()
        again = await bodies(device, near("calls", {}, attempt=2, leaves=True))

    assert facts(found) == ["intended", "withdrawn"]
    assert isinstance(found[-1], Died)
    assert found[-1].reason == "device_away"
    assert "did not answer for 0.5 s: 503: the device is being maintained" in found[-1].message
    assert kinds(again)[-1] == "returned"
    assert len(books.tags()) == 1


async def test_the_last_attempt_of_a_job_stays_with_a_device_that_is_away(
    books: Books, children: Children
) -> None:
    async with started(hardware(books.spec(), children, away_for=0.1)) as device:
        books.maintenance.touch()
        run = device.run(near("calls", {}), Stop())
        await until_fact(run, Intended)
        rest = asyncio.ensure_future(anext(run))
        await stays(lambda: not rest.done(), 1.0)
        books.maintenance.unlink()
        found = [await rest, *[body async for body in run]]

    assert kinds(found)[-1] == "returned"


async def test_an_attempt_leaves_a_device_whose_process_ends_again_and_again(
    books: Books, children: Children
) -> None:
    async with started(hardware(books.spec(queue=600.0), children, away_for=1.0)) as device:
        run = device.run(near("calls", {}, leaves=True), Stop())
        (accepted,) = [b for b in await until_fact(run, Accepted) if isinstance(b, Accepted)]
        rest = asyncio.ensure_future(anext(run))
        while not rest.done():
            if pid := process_of(device):
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.05)
        found = [await rest, *[body async for body in run]]

    assert isinstance(found[-1], Died)
    assert found[-1].reason == "device_lost"
    assert accepted.vendor_job_id
    assert books.cancelled() == []
    assert len(books.tags()) == 1


async def test_a_cancel_reaches_the_vendor(books: Books, at: At) -> None:
    stop = Stop()
    async with at(queue=600.0) as device:
        run = device.run(near("calls", {}), stop)
        await until_fact(run, Accepted)
        rest = asyncio.ensure_future(anext(run))
        await eventually(lambda: books.asked("status"))
        stop.ask("user_request")
        found = [await rest, *[body async for body in run]]

    assert books.cancelled() == [1]
    assert found[-1] == Stopped("user_request")
    assert [body.cost for body in found if isinstance(body, Metered)] == [0.0]


async def test_what_a_call_takes_is_told_while_it_runs_and_what_it_took_when_it_is_ended(
    books: Books, at: At
) -> None:
    stop = Stop()
    async with at(runs=600.0, costs=7.5) as device:
        run = device.run(near("calls", {}), stop)
        await until_fact(run, Accepted)
        meter = (await until_fact(run, Metered))[-1]
        stop.ask("budget")
        found = [body async for body in run]

    assert isinstance(meter, Metered)
    assert not meter.final
    ended = [body for body in found if isinstance(body, Metered) and body.final]
    assert [body.cost for body in ended] == [7.5]
    assert (ended[0].device_seconds or 0) >= (meter.device_seconds or 0) >= 1.0
    assert books.cancelled() == [1]
    assert found[-1] == Stopped("budget")


async def test_a_cancel_is_not_held_up_by_a_vendor_that_is_away(
    books: Books, children: Children
) -> None:
    stop = Stop()
    executor = hardware(books.spec(queue=600.0), children, letting_go=0.5)
    async with started(executor) as device:
        run = device.run(near("calls", {}), stop)
        await until_fact(run, Accepted)
        rest = asyncio.ensure_future(anext(run))
        await eventually(lambda: books.asked("status"))
        books.maintenance.touch()
        stop.ask("user_request")
        found = [await rest, *[body async for body in run]]

    assert found[-1] == Stopped("user_request")
    assert [body.final for body in found if isinstance(body, Metered)] == [False]


async def test_a_call_of_which_the_vendor_does_not_let_go_holds_up_no_other(
    books: Books, children: Children
) -> None:
    stop, holds = Stop(), books.folder / "holds"
    holds.touch()
    executor = hardware(stubborn(books, queue=600.0), children, letting_go=20.0)
    async with started(executor) as device:
        run = device.run(near("calls-together", {"times": 3}), stop)
        for _ in range(3):
            await until_fact(run, Accepted)
        stop.ask("user_request")
        others = [(await until_fact(run, Metered))[-1] for _ in range(2)]
        assert sorted(books.cancelled()) == [2, 3]
        holds.unlink()
        rest = [body async for body in run]

    assert [body.final for body in (*others, *rest) if isinstance(body, Metered)] == [True] * 3
    assert sorted(books.cancelled()) == [1, 2, 3]
    assert rest[-1] == Stopped("user_request")


async def test_a_call_that_its_program_does_not_wait_for_is_ended(books: Books, at: At) -> None:
    async with at(queue=600.0) as device:
        found = await bodies(device, near("leaves-a-call", {}))

    assert kinds(found)[-1] == "returned"
    assert len(books.tags()) == len(books.cancelled())


@pytest.mark.parametrize("reason", ["worker_stopped", "worker_lost"])
async def test_an_attempt_that_goes_on_elsewhere_is_taken_up_there(
    books: Books, at: At, reason: str
) -> None:
    stop = Stop()
    async with at(queue=1.0) as device:
        run = device.run(near("calls", {"times": 2}), stop)
        told = await until_fact(run, Accepted)
        rest = asyncio.ensure_future(anext(run))
        stop.ask(reason)
        await rest
    accepted = told[-1]
    assert isinstance(accepted, Accepted)
    assert not books.cancelled()

    call = Call(tag=accepted.tag, number=1, attempt=1, vendor_job_id=accepted.vendor_job_id)
    async with at(queue=1.0) as device:  # on another worker
        found = await bodies(device, near("calls", {"times": 2}, attempt=2, calls=(call,)))

    assert facts(found) == ["metered", *FACTS]
    assert len(books.tags()) == 2


async def test_an_intent_is_looked_up_and_submitted_only_if_the_vendor_has_not_got_it(
    books: Books,
    at: At,
) -> None:
    async with at() as device:
        run = device.run(near("calls", {}), Stop())
        intended = (await until_fact(run, Intended))[-1]
        assert isinstance(intended, Intended)
        await run.aclose()
        assert not books.tags()
        call = Call(tag=intended.tag, number=1, attempt=1)

        found = await bodies(device, near("calls", {}, attempt=2, calls=(call,)))
        assert facts(found) == ["accepted", "metered"]
        again = await bodies(device, near("calls", {}, attempt=3, calls=(call,)))
        assert facts(again) == ["accepted", "metered"]

    assert books.tags() == [intended.tag]


async def test_an_intent_that_nobody_can_look_up_parks_unless_an_operator_has_said_again(
    books: Books,
    at: At,
) -> None:
    async with at(finds=False) as device:
        run = device.run(near("calls", {}), Stop())
        intended = (await until_fact(run, Intended))[-1]
        assert isinstance(intended, Intended)
        await run.aclose()
        call = Call(tag=intended.tag, number=1, attempt=1)
        assert isinstance(await last(device, near("calls", {}, calls=(call,))), Parked)
        assert not books.tags()

        told = Call(tag=intended.tag, number=1, attempt=1, again=True)
        found = await bodies(device, near("calls", {}, attempt=2, calls=(told,)))

    assert facts(found) == FACTS  # it is this attempt's, if it is lost as well
    assert kinds(found)[-1] == "returned"
    assert books.tags() == [intended.tag]


async def test_what_a_program_draws_by_chance_its_next_attempt_draws_too(
    books: Books, at: At
) -> None:
    async with at() as device:
        for job_id, attempt in (("j1", 1), ("j1", 2), ("j2", 1)):
            task = near("calls-by-chance", {}, job_id=job_id, attempt=attempt)
            assert kinds(await bodies(device, task))[-1] == "returned"

    first, again, other = books.tags()
    assert first == again
    assert first != other


async def test_all_calls_of_a_job_have_tags_that_begin_alike_and_a_session_waits_once(
    books: Books, at: At
) -> None:
    async with at(queue=0.3, sessions=True) as device:
        for job_id in ("j1", "j2"):
            found = await bodies(device, near("calls", {"times": 3}, job_id=job_id))
            queued = [line for line in log_of(found).splitlines() if line.endswith("is queued")]
            assert [line.partition(":")[0] for line in queued] == ["call 1"]

    jobs = [tag[:SAME_JOB] for tag in books.tags()]
    assert jobs[:3] == [jobs[0]] * 3
    assert jobs[3:] == [jobs[3]] * 3
    assert jobs[0] != jobs[3]


async def test_a_call_that_was_not_submitted_is_withdrawn(books: Books, at: At) -> None:
    stop = Stop()
    async with at(finds=False) as device:
        run = device.run(near("calls", {}), stop)
        await until_fact(run, Calibrated)
        books.maintenance.touch()
        intended = (await until_fact(run, Intended))[-1]
        rest = asyncio.ensure_future(anext(run))
        await steps(50)
        stop.ask("worker_stopped")
        found = [await rest, *[body async for body in run]]

    assert isinstance(intended, Intended)
    assert facts(found) == ["withdrawn"]
    assert Withdrawn(intended.tag) in found
    assert not books.tags()


async def test_what_an_earlier_attempt_may_have_submitted_is_not_withdrawn(
    books: Books, at: At
) -> None:
    stop = Stop()
    async with at() as device:
        run = device.run(near("calls", {}), Stop())
        intended = (await until_fact(run, Intended))[-1]
        await run.aclose()
        assert isinstance(intended, Intended)
        call = Call(tag=intended.tag, number=1, attempt=1)
        run = device.run(near("calls", {}, attempt=2, calls=(call,)), stop)
        await until_fact(run, Calibrated)
        books.maintenance.touch()
        rest = asyncio.ensure_future(anext(run))
        await steps(50)
        stop.ask("worker_stopped")
        found = [await rest, *[body async for body in run]]

    assert facts(found) == []


async def test_a_call_that_an_attempt_does_not_make_again_is_ended_with_the_job(
    books: Books,
    at: At,
) -> None:
    async with at(queue=0.5, runs=600.0) as device:
        run = device.run(near("calls", {}), Stop())
        (accepted,) = [b for b in await until_fact(run, Accepted) if isinstance(b, Accepted)]
        await run.aclose()
        left = Call(tag=accepted.tag, number=1, attempt=1, vendor_job_id=accepted.vendor_job_id)
        found = await bodies(device, near("calls-nothing", {}, attempt=2, calls=(left,)))

    assert [body.tag for body in found if isinstance(body, Metered)] == [accepted.tag]
    assert books.cancelled() == [1]


def process_of(executor: HardwareExecutor) -> int:
    return executor._process.pid


@pytest.mark.parametrize("step", [Intended, Accepted, None])
async def test_a_process_of_a_device_that_is_killed_costs_nothing_twice(
    books: Books, at: At, step: type[Body] | None
) -> None:
    async with at(queue=0.3) as device:
        run = device.run(near("calls", {"times": 2}), Stop())
        found = await until_fact(run, step or Accepted)
        rest = asyncio.ensure_future(anext(run))
        if step is None:
            await eventually(lambda: books.asked("status"))
        os.kill(process_of(device), signal.SIGKILL)
        found += [await rest, *[body async for body in run]]

    assert kinds(found)[-1] == "returned", found[-1]
    assert len(books.tags()) == len(set(books.tags())) == 2


def environments() -> Iterator[tuple[int, dict[str, str]]]:
    """Those of all processes that were started from here."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
            yield process.pid, process.environ()


async def test_credentials_are_in_the_process_of_the_device_and_nowhere_else(
    books: Books, children: Children
) -> None:
    spec = books.spec()
    given = dict(spec.variables) | {"VENDOR_TOKEN": "sesame-2718"}
    executor = hardware(replace(spec, variables=given), children)
    async with started(executor):
        end = await last(executor, near("tells-its-environment", {}))
        have = [pid for pid, its in environments() if "sesame-2718" in its.values()]
        device = process_of(executor)

    assert have == [device]
    assert value(end)["ran"] == 1
    assert "sesame" not in str(value(end))


async def test_a_new_calibration_is_compiled_for(books: Books, children: Children) -> None:
    executor = hardware(books.spec(drifts_every=0.2), children, described_for=0.0)
    told = set()
    async with started(executor):
        while len(told) < 3:
            found = await bodies(executor, near("sampler", {"pubs": [[BELL, None, 5]]}))
            assert kinds(found)[-1] == "returned"
            told |= {body.calibration_id for body in found if isinstance(body, Calibrated)}


async def test_a_device_says_what_jobs_may_ask_of_it(books: Books, children: Children) -> None:
    steady, drifting = books.spec(labels=("cold", "lab")), books.spec(drifts_every=3600.0)
    executors = [hardware(spec, children) for spec in (steady, drifting)]
    [one], [two] = [await executor.start() for executor in executors]
    for executor in executors:
        await executor.close()

    assert one.labels == ("cold", "lab")
    assert one.error is not None
    assert 0 < one.error < 0.1
    assert one.calibrated == ""
    age = datetime.now(UTC) - datetime.fromisoformat(two.calibrated)
    assert timedelta(0) <= age < timedelta(hours=1, minutes=1)


async def test_a_new_calibration_that_was_seen_to_come_is_as_old_as_that(
    children: Children,
) -> None:
    process = DeviceProcess(DeviceSpec(NAME, "tests.support.drifting:device"), 0.0)
    first = (await process.describe()).announced
    before = datetime.now(UTC)
    second = (await process.describe()).announced
    await process.close()

    assert first.calibrated == ""
    assert datetime.fromisoformat(second.calibrated) >= before - timedelta(milliseconds=1)


async def test_an_attempt_begins_although_its_device_says_nothing(
    books: Books, children: Children
) -> None:
    async with started(hardware(stubborn(books), children, described_for=0.0)) as device:
        (books.folder / "hangs").touch()
        run = device.run(near("calls-nothing", {}), Stop())
        assert kinds([await anext(run)]) == ["began"]
        await run.aclose()


async def test_a_device_that_can_not_be_made_says_why(children: Children) -> None:
    for made_by, why in (
        ("no_such_module:backend", "No module named 'no_such_module'"),
        ("os:getpid", "which is no Qiskit BackendV2"),
        ("nobody-has-this", "no package here has an entry point 'nobody-has-this'"),
        (DRILL, "DRILL"),
    ):
        executor = hardware(DeviceSpec(NAME, made_by), children)
        with pytest.raises(DeviceError, match=why):
            await executor.start()
        await executor.close()
