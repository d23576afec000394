"""Programs that take long, in children: inputs as clients encode them, and an end at once."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from qiskit.circuit.library import real_amplitudes
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime.json import RuntimeDecoder, RuntimeEncoder

from executors import runtime_json
from executors.base import Stop
from executors.simulator import SimulatorExecutor
from tests.support.executing import bodies, kind, kinds, last, started, task, value

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def executor() -> AsyncIterator[SimulatorExecutor]:
    async with started(SimulatorExecutor(1)) as made:
        yield made


def encoded(thing: Any) -> Any:
    return json.loads(runtime_json.encode(thing))


def vqe(maxiter: int) -> dict[str, Any]:
    return {
        "ansatz": encoded(real_amplitudes(2, reps=1)),
        "operator": encoded(SparsePauliOp.from_list([("ZZ", 1.0), ("XX", 0.5)])),
        "optimizer": {"name": "SPSA", "maxiter": float(maxiter)},
        "initial_parameters": encoded(np.zeros(4)),
        "aux_operators": [None],
        "shots": None,
        "seed": 3,
    }


async def test_vqe_runs_with_what_a_client_encodes(executor: SimulatorExecutor) -> None:
    found = await bodies(executor, task("vqe", vqe(2)))

    assert kinds(found) == ["began", "published", "published", "returned"]
    result = runtime_json.decode(value(found[-1]))
    assert result["optimal_point"].shape == (4,)
    assert isinstance(result["eigenvalue"], complex)


async def test_a_kernel_is_aligned_with_what_a_client_encodes(executor: SimulatorExecutor) -> None:
    feature_map = '{"feature_dimension": 2, "entangler_map": []}'
    inputs = {
        "feature_map": {"__type__": "to_json", "__value__": feature_map},
        "data": encoded(np.array([[0.1, 0.2], [1.0, -0.5], [0.3, 0.1]])),
        "labels": encoded(np.array([1, -1, 1])),
        "maxiters": 2.0,
        "C": None,
    }

    found = await bodies(executor, task("quantum-kernel-alignment", inputs))

    assert kinds(found) == ["began", "published", "published", "returned"]
    result = runtime_json.decode(value(found[-1]))
    assert result["aligned_kernel_matrix"].shape == (3, 3)


async def test_the_next_attempt_in_the_same_child_draws_its_own(
    executor: SimulatorExecutor,
) -> None:
    inputs = vqe(1) | {"seed": None}

    ends = [await last(executor, task("vqe", inputs)) for _ in range(2)]

    assert value(ends[0])["optimal_point"] != value(ends[1])["optimal_point"]


async def test_a_run_that_takes_hours_ends_when_asked(executor: SimulatorExecutor) -> None:
    stop = Stop()
    run = executor.run(task("vqe", vqe(100_000)), stop)
    assert [kind(await anext(run)) for _ in range(3)] == ["began", "published", "published"]

    stop.ask("user_request")
    async with asyncio.timeout(5):
        ends = [kind(body) async for body in run]

    assert ends[-1] == "stopped"


@pytest.mark.parametrize("program", ["sampler", "estimator"])
async def test_pubs_that_a_stock_client_encodes_come_back_as_its_results(
    executor: SimulatorExecutor, program: str
) -> None:
    circuit = real_amplitudes(2, reps=1)
    if program == "sampler":
        circuit.measure_all()
    pubs = {
        "sampler": SamplerPub.coerce((circuit, np.zeros((3, 4)), 50)),
        "estimator": EstimatorPub.coerce((circuit, [["ZZ"], [{"XX": 0.5}]], np.zeros((3, 4)), 0.1)),
    }
    inputs = {"pubs": [pubs[program]], "version": 2, "support_qiskit": True, "options": {}}

    end = await last(executor, task(program, json.dumps(inputs, cls=RuntimeEncoder).encode()))

    result = json.loads(json.dumps(value(end)), cls=RuntimeDecoder)
    if program == "sampler":
        assert result[0].data.meas.get_counts() == {"00": 150}
    else:
        assert result[0].data.evs == pytest.approx(np.array([[1] * 3, [0] * 3]), abs=0.3)
