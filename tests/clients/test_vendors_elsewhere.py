"""A device whose SDK wants another Qiskit than ours has it, in an environment of its own."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import qiskit

from executors.hardware.executor import HardwareExecutor
from executors.hardware.process import DeviceError, DeviceProcess
from executors.hardware.specs import DeviceSpec
from tests.support.devices import BELL, NAME, Children, hardware, near
from tests.support.environments import environment
from tests.support.executing import bodies, kinds, value

WIRE = (
    *("msgspec>=0.22,<0.23", "orjson>=3.11,<4", "stamina>=26.1,<27"),
    *("jsonschema-rs>=0.60,<1", "openqasm3[parser]>=1.0,<2"),
)  # what docs/devices.md asks for
CALL = ["intended", "accepted", "metered"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def python() -> Path:
    return environment("iqm", "iqm-client[qiskit]==36.0.0", *WIRE)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def device(python: Path) -> AsyncIterator[HardwareExecutor]:
    spec = DeviceSpec(NAME, "iqm.qiskit_iqm:IQMFakeApollo", python=str(python))
    children = Children(1)
    executor = hardware(spec, children)
    await executor.start()
    yield executor
    await executor.close()
    await children.end()


async def test_it_has_another_qiskit_than_ours(python: Path) -> None:
    asked = [str(python), "-c", "import qiskit; print(qiskit.__version__)"]
    theirs = (await asyncio.to_thread(subprocess.check_output, asked, text=True)).strip()

    assert theirs != qiskit.__version__
    assert theirs < "2.2"


async def test_known_answers_come_from_it(device: HardwareExecutor) -> None:
    found = await bodies(device, near("sampler", {"circuits": BELL, "run_options": {"shots": 400}}))

    assert kinds(found)[-1] == "returned", found[-1]
    assert [kind for kind in kinds(found) if kind in CALL] == CALL
    (measured,) = value(found[-1])["quasi_dists"]
    assert set(measured) <= {"00", "01", "10", "11"}
    assert measured["00"] + measured["11"] > 0.7
    assert 0.3 < measured["00"] < 0.7


async def test_a_circuit_is_compiled_for_its_gates_and_couplings(device: HardwareExecutor) -> None:
    cx = " ".join(f"cx q[0], q[{n}];" for n in range(1, 7))
    circuit = (
        f'OPENQASM 3.0; include "stdgates.inc"; qubit[7] q; bit[7] c; x q[0]; {cx} c = measure q;'
    )
    found = await bodies(
        device, near("sampler", {"circuits": circuit, "run_options": {"shots": 400}})
    )

    assert kinds(found)[-1] == "returned", found[-1]
    (measured,) = value(found[-1])["quasi_dists"]
    assert max(measured, key=measured.get) == "1" * 7


async def test_what_is_not_there_is_told(python: Path) -> None:
    for there, made_by, why in (
        (str(python), "qiskit_aqt_provider:AQTProvider", "No module named 'qiskit_aqt_provider'"),
        ("/nowhere/bin/python", "lab:device", "python=/nowhere/bin/python is no program"),
    ):
        process = DeviceProcess(DeviceSpec("lab", made_by, python=there))
        with pytest.raises(DeviceError, match=f"lab: .*{why}"):
            await process.describe()
        await process.close()
