"""Estimates that a vendor makes by itself: one job of it, with the options that were asked for."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from qiskit import QuantumCircuit, qasm3
from qiskit.circuit import Parameter
from qiskit.primitives import PrimitiveResult
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_ibm_runtime.json import RuntimeDecoder

from executors.base import Stop
from executors.hardware.executor import HardwareExecutor
from executors.hardware.specs import DeviceSpec
from schemas.reports import Accepted, Body, Intended, Raised, Stopped
from tests.support.awaiting import eventually
from tests.support.devices import Children, hardware, near
from tests.support.executing import bodies, kinds, last, started
from tests.support.federation import Far, far_installation

FACTS = ["intended", "accepted", "metered"]
A, B = Parameter("a"), Parameter("b")
VALUES = np.array([[0.1, 0.7], [1.3, -0.4], [2.2, 0.9]])
OBSERVABLES: list[Any] = [["ZZ"], [{"XI": 0.5, "YX": -1.0, "II": 2.0}]]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    with far_installation(tmp_path_factory.mktemp("far"), queue=0.2) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def device(far: Far, children: Children) -> AsyncIterator[HardwareExecutor]:
    async with started(hardware(far.spec(), children)) as ready:
        assert isinstance(ready, HardwareExecutor)
        yield ready


def state() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.ry(A, 0)
    circuit.cx(0, 1)
    circuit.rx(2 * A + B, 1)
    return circuit


def right() -> Any:
    """What NumPy makes of it."""
    circuit, found = state(), np.empty((2, 3))
    for row, (told,) in enumerate(OBSERVABLES):
        terms = told if isinstance(told, dict) else {told: 1.0}
        operator = SparsePauliOp.from_list(list(terms.items()))
        for column, (a, b) in enumerate(VALUES):
            vector = Statevector(circuit.assign_parameters({A: a, B: b}))
            found[row, column] = vector.expectation_value(operator).real
    return found


def asked(precision: float | None = 0.02, **more: Any) -> dict[str, Any]:
    pub = [qasm3.dumps(state()), OBSERVABLES, VALUES.tolist(), precision]
    return {"pubs": [pub], "version": 2} | more


def facts(found: list[Body]) -> list[str]:
    return [kind for kind in kinds(found) if kind in FACTS]


def result(body: Any) -> PrimitiveResult[Any]:
    found: PrimitiveResult[Any] = json.loads(bytes(body.value), cls=RuntimeDecoder)
    return found


async def there(far: Far, found: list[Body]) -> dict[str, Any]:
    """The one job of the other installation that was made for the call, with its inputs."""
    (tag,) = {body.tag for body in found if isinstance(body, Intended)}
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{far.url}/jobs?tags=qjb-once-{tag}") as answer:
            (job,) = (await answer.json())["jobs"]
        async with http.get(f"{far.url}/jobs/{job['id']}") as answer:
            whole: dict[str, Any] = await answer.json()
    return whole


async def test_the_vendor_estimates_in_one_job_of_its_own(
    device: HardwareExecutor, far: Far
) -> None:
    found = await bodies(device, near("estimator", asked(), job_id="plain"))

    assert kinds(found)[-1] == "returned", found[-1]
    assert facts(found) == FACTS
    (pub,) = result(found[-1])
    assert pub.data.evs.shape == (2, 3)
    assert (pub.data.stds > 0).sum() >= 5
    assert (np.abs(pub.data.evs - right()) < 5 * pub.data.stds + 1e-9).all()
    assert pub.metadata["shots"] == 2500
    job = await there(far, found)
    assert job["program"]["id"] == "estimator"
    assert len(job["params"]["pubs"]) == 1
    assert job["params"]["pubs"][0][3] == 0.02


async def test_options_reach_the_vendor_as_they_were_given(
    device: HardwareExecutor, far: Far
) -> None:
    options = {
        "default_shots": 300,
        "seed_estimator": 5,
        "twirling": {"enable_gates": True, "num_randomizations": 3, "strategy": "active"},
        "resilience": {"measure_mitigation": False, "zne": {"noise_factors": [1, 3, 5]}},
        "dynamical_decoupling": {"enable": False, "sequence_type": "XpXm"},
        "execution": {"init_qubits": True, "rep_delay": 0.0001},
    }
    inputs = asked(None, options=options, resilience_level=1)
    found = await bodies(device, near("estimator", inputs, job_id="options"))

    assert kinds(found)[-1] == "returned", found[-1]
    job = await there(far, found)
    assert job["params"]["options"] == options
    assert job["params"]["resilience_level"] == 1
    assert job["params"]["pubs"][0][3] is None
    assert result(found[-1])[0].metadata["shots"] == 300


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            {"resilience": {"zne_mitigation": True}},
            "options.resilience.zne_mitigation can not be honoured",
        ),
        (
            {"dynamical_decoupling": {"enable": True}},
            "options.dynamical_decoupling.enable can not be honoured",
        ),
    ],
)
async def test_what_the_vendor_does_not_honour_it_refuses_and_says_so_here(
    device: HardwareExecutor, options: dict[str, Any], why: str
) -> None:
    end = await last(device, near("estimator", asked(options=options), job_id=f"not-{len(why)}"))

    assert isinstance(end, Raised)
    assert why in end.message


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"resilience_level": 3}, "IBM's client does not take options.resilience_level: "),
        (
            {"resilience": {"zne": {"noise_factors": [0]}}},
            "IBM's client does not take options.resilience.zne.noise_factors: ",
        ),
        ({"twirling": {"often": True}}, "options.twirling.often: Unexpected keyword argument"),
        ({"resiliense": {}}, "there is no option resiliense (did you mean resilience?)"),
        ({"resilience": 5}, "options.resilience must be an object"),
    ],
)
async def test_what_the_vendors_client_does_not_take_is_refused_by_name(
    device: HardwareExecutor, options: dict[str, Any], why: str
) -> None:
    found = await bodies(device, near("estimator", asked(options=options), job_id="refused"))

    assert isinstance(found[-1], Raised)
    assert why in found[-1].message
    assert "accepted" not in facts(found)


@pytest.mark.parametrize("step", [Intended, Accepted, None])
async def test_a_process_that_is_killed_amid_an_estimate_has_it_paid_once(
    far: Far, device: HardwareExecutor, step: type[Body] | None
) -> None:
    job_id = f"killed-{step.__name__ if step else 'waiting'}"
    found = []
    run = device.run(near("estimator", asked(), job_id=job_id), Stop())
    async for body in run:
        found.append(body)
        if isinstance(body, step or Accepted):
            break
    rest = asyncio.ensure_future(anext(run))
    if step is None:
        await asyncio.sleep(0.1)
    os.kill(device._process.pid, signal.SIGKILL)
    found += [await rest, *[body async for body in run]]

    assert kinds(found)[-1] == "returned", found[-1]
    assert (np.abs(result(found[-1])[0].data.evs - right()) < 0.15).all()
    await there(far, found)


async def test_a_cancel_ends_it_at_the_vendor(far: Far, device: HardwareExecutor) -> None:
    stop, found = Stop(), []
    run = device.run(near("estimator", asked(1e-3), job_id="cancelled"), stop)
    async for body in run:
        found.append(body)
        if isinstance(body, Accepted):
            break
    stop.ask("user_request")
    found += [body async for body in run]

    async def is_cancelled() -> bool:
        return bool((await there(far, found))["status"] == "Cancelled")

    assert found[-1] == Stopped("user_request")
    await eventually(is_cancelled)  # it was running: its process there has to end first


async def test_a_dry_run_asks_the_vendor_for_nothing(device: HardwareExecutor) -> None:
    task = near("estimator", asked(options={"resilience_level": 2}), job_id="dry")
    found = await bodies(device, replace(task, backend="mock_one"))

    assert kinds(found)[-1] == "returned", found[-1]
    assert not facts(found)
    assert result(found[-1])[0].data.evs.shape == (2, 3)


async def test_a_device_whose_vendor_does_not_estimate_is_measured_and_refuses_by_name(
    children: Children,
) -> None:
    fake = DeviceSpec("dev_one", "qiskit_ibm_runtime.fake_provider:FakeManilaV2")
    async with started(hardware(fake, children)) as executor:
        options = {"resilience": {"zne_mitigation": True}}
        end = await last(executor, near("estimator", asked(options=options)))
        found = await bodies(executor, near("estimator", asked(0.1), job_id="measured"))

    assert isinstance(end, Raised)
    assert "options.resilience.zne_mitigation can not be honoured" in end.message
    assert kinds(found)[-1] == "returned"
    assert len(facts(found)) > 3
