"""The simulator on a GPU against the one on processors; where there is a GPU."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from executors.gpu import NAME
from executors.gpus import GpuExecutor
from executors.simulator import SimulatorExecutor
from tests.support.circuits import BELL_3
from tests.support.executing import last, started, task, value
from tests.support.gpus import real_gpus

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

SHOTS = 8_000
WIDE = "\n".join(
    [
        'OPENQASM 3.0; include "stdgates.inc"; qubit[20] q; bit[20] c;',
        *(f"ry({0.1 + 0.13 * qubit}) q[{qubit}];" for qubit in range(20)),
        *(f"cx q[{qubit}], q[{qubit + 1}];" for qubit in range(19)),
        *(f"rx({0.7 - 0.02 * qubit}) q[{qubit}];" for qubit in range(20)),
        "c = measure q;",
    ]
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gpu() -> AsyncIterator[GpuExecutor]:
    async with started(real_gpus()) as ready:
        yield ready


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cores() -> AsyncIterator[SimulatorExecutor]:
    async with started(SimulatorExecutor(1)) as ready:
        yield ready


async def counts(executor: Any, circuit: str, backend: str, **options: Any) -> dict[str, int]:
    asked = {"circuits": circuit, "shots": SHOTS, "seed_simulator": 7, **options}
    ended = await last(executor, task("circuit-runner", asked, backend=backend, limit=120.0))
    assert str(ended.__struct_config__.tag) == "returned", ended
    results: dict[str, int] = value(ended)["results"][0]["data"]["counts"]
    return results


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("method", ["automatic", "statevector", "density_matrix"])
async def test_bell_pairs_agree(gpu: GpuExecutor, method: str, precision: str) -> None:
    found = await counts(gpu, BELL_3, NAME, method=method, precision=precision)

    assert set(found) == {"0x0", "0x3"}
    assert abs(found["0x0"] - SHOTS / 2) < 6 * (SHOTS / 4) ** 0.5


async def test_twenty_qubits_have_the_statistics_that_they_have_on_processors(
    gpu: GpuExecutor, cores: SimulatorExecutor
) -> None:
    here = await counts(gpu, WIDE, NAME, method="statevector")
    there = await counts(cores, WIDE, "aer_simulator", method="statevector")

    for qubit in range(20):
        assert abs(_ones(here, qubit) - _ones(there, qubit)) < 6 * (2 * SHOTS / 4) ** 0.5
    pairs = [(qubit, qubit + 1) for qubit in range(19)]
    for pair in pairs:
        assert abs(_alike(here, *pair) - _alike(there, *pair)) < 6 * (2 * SHOTS / 4) ** 0.5


async def test_the_same_seed_draws_the_same_again(gpu: GpuExecutor) -> None:
    first, again = [await counts(gpu, WIDE, NAME, method="statevector") for _ in range(2)]

    assert first == again


async def test_what_does_not_fit_is_refused_with_numbers(gpu: GpuExecutor) -> None:
    wide = WIDE.replace("[20]", "[45]")
    asked = {"circuits": wide.replace("c = measure q;", "ry(0.1) q; c = measure q;")}
    job = task("circuit-runner", {**asked, "method": "statevector"}, backend=NAME)
    ended = await last(gpu, job)

    assert ended.reason in ("backend_error", "out_of_memory")
    assert "memory" in ended.message


def _ones(found: dict[str, int], qubit: int) -> int:
    return sum(times for key, times in found.items() if int(key, 16) >> qubit & 1)


def _alike(found: dict[str, int], one: int, other: int) -> int:
    bits: Counter[bool] = Counter()
    for key, times in found.items():
        bits[(int(key, 16) >> one & 1) == (int(key, 16) >> other & 1)] += times
    return bits[True]
