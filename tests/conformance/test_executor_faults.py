"""What a user did wrong ends in one sentence that names it, on every backend."""

import io
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from executors.simulator import SimulatorExecutor
from tests.support.circuits import BELL_2, BELL_3, encoded
from tests.support.executing import bodies, kind, last, log_of, started, task, value

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
DEVICES = ("fake_line_5", "fake_heavy_hex_19", "fake_heavy_hex_57")
BACKENDS = ("aer_simulator", *DEVICES)
HEAD_2 = 'OPENQASM 2.0; include "qelib1.inc";'
HEAD_3 = 'OPENQASM 3.0; include "stdgates.inc";'
DOUBLED = "gate g0 a { x a; }" + "".join(
    f"gate g{number + 1} a {{ g{number} a; g{number} a; }}" for number in range(39)
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def executor() -> AsyncIterator[SimulatorExecutor]:
    made = SimulatorExecutor(1, memory=600 * MIB)
    async with started(made):
        yield made


def chain(qubits: int) -> str:
    """Rotations and couplings, so that no method but those by amplitudes does it exactly."""
    lines = "".join(f"h q[{n}]; rz(0.1) q[{n}];" for n in range(qubits))
    pairs = "".join(f"cx q[{n}], q[{n + 1}]; h q[{n}];" for n in range(qubits - 1))
    return f"{HEAD_2} qreg q[{qubits}]; creg c[{qubits}]; {lines} {pairs} measure q -> c;"


def rotated(angle: float) -> Any:
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(1, 1)
    circuit.rx(angle, 0)
    circuit.measure(0, 0)
    return encoded(circuit)


def bell(**config: Any) -> dict[str, Any]:
    return {"circuits": BELL_2, "transpiler_config": config}


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("nothing measured", {"circuits": f"{HEAD_3} qubit q; x q;"}, "circuits[0] measures nothing"),
    (
        "bits, and nothing measured",
        {"circuits": [BELL_2, f"{HEAD_2} qreg q[1]; creg c[1]; x q[0];"]},
        "circuits[1] measures nothing",
    ),
    ("layout twice", bell(initial_layout=[1, 1]), "initial_layout places two qubits"),
    ("layout outside", bell(initial_layout={"0": 0, "1": 999}), "initial_layout names qubit 999"),
    ("layout short", bell(initial_layout=[2]), "initial_layout places 1 qubits"),
    ("layout long", bell(initial_layout=[2, 1, 0]), "initial_layout places 3 qubits"),
    ("layout with holes", bell(initial_layout={"0": 0, "2": 1}), "initial_layout must name"),
    ("basis", bell(basis_gates=["cx", "foo"]), "basis_gates: there is no gate 'foo'"),
    ("basis too small", bell(basis_gates=["x", "cx"]), "basis_gates ['x', 'cx']"),
    ("option of the transpiler", bell(optimisation_level=1), "did you mean optimization_level?"),
    ("option of a run", {"circuits": BELL_2, "run_config": {"shotz": 1}}, "did you mean shots?"),
    ("noise", {"circuits": BELL_2, "run_config": {"noise_model": {}}}, "noise_model can not be"),
    (
        "no object",
        bell() | {"run_config": {"__type__": "complex", "__value__": [1, 2]}},
        "run_config must be a plain JSON object",
    ),
    (
        "opaque",
        {"circuits": f"{HEAD_2} opaque foo a; qreg q[1]; creg c[1]; foo q[0]; measure q -> c;"},
        "gate 'foo' has no definition",
    ),
    ("NaN", {"circuits": rotated(math.nan)}, "no finite number"),
    ("infinity", {"circuits": BELL_3.replace("h q[0]", "rx(1e400) q[0]")}, "no finite number"),
    (
        "quotes",
        {"circuits": BELL_3.replace("h q[0]", "rx(pi / 2 ** 1) q[0]")},
        "unsupported binary operation '**'",
    ),
    ("not defined", {"circuits": BELL_2.replace("h q", "nope q")}, "'nope' is not defined"),
    (
        "no method for it",
        {
            "circuits": BELL_2.replace("h q[0]", "u3(0.1,0.2,0.3) q[0]"),
            "run_config": {"method": "stabilizer"},
        },
        "method stabilizer does not simulate",
    ),
    ("100 million qubits", {"circuits": f"{HEAD_2} qreg q[100000000];"}, "100,000,000 qubits"),
    ("4 billion qubits", {"circuits": f"{HEAD_3} qubit[4000000000] q;"}, "4,000,000,000 qubits"),
    (
        "gates of gates",
        {"circuits": f"{HEAD_3} {DOUBLED} qubit q; bit c; g39 q; c = measure q;"},
        "100,000 gates",
    ),
    (
        "gates of gates in OpenQASM 2",
        {"circuits": f"{HEAD_2} {DOUBLED} qreg q[1]; creg c[1]; g39 q[0]; measure q -> c;"},
        "unrolls to more than 1,000,000 instructions",
    ),
    (
        "loops of loops",
        {
            "circuits": f"{HEAD_3} qubit q; bit c; {'for uint i in [0:999] {' * 3} x q; }} }} }} "
            "c = measure q;"
        },
        "unrolls to more than 1,000,000 instructions",
    ),
    (
        "a billion controls",
        {
            "circuits": f"{HEAD_3} qubit[2] q; bit c; ctrl(1000000000) @ x q[0], q[1]; c = measure q[0];"
        },
        "more controls than that",
    ),
    (
        "an ignored Operator",
        {
            "circuits": BELL_2,
            "ignored": {
                "__type__": "settings",
                "__module__": "qiskit.quantum_info.operators",
                "__class__": "Operator",
                "__value__": {
                    "data": {
                        "__type__": "settings",
                        "__module__": "qiskit.quantum_info",
                        "__class__": "Pauli",
                        "__value__": {"data": "X" * 31},
                    }
                },
            },
        },
        "ignored: with what comes before it, it unpacks to more than",
    ),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("inputs", "told"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG]
)
async def test_what_is_wrong_with_inputs_is_said_in_one_sentence(
    executor: SimulatorExecutor, backend: str, inputs: dict[str, Any], told: str
) -> None:
    found = await bodies(executor, task("sampler", inputs, backend=backend))

    end: Any = found[-1]
    assert (kind(end), end.reason) == ("raised", "invalid_inputs"), end
    assert told in end.message
    assert "\n" not in end.message
    assert "Traceback" not in log_of(found)


@pytest.mark.parametrize("backend", BACKENDS)
async def test_what_does_not_fit_into_memory_is_the_backends_fault_with_the_numbers(
    executor: SimulatorExecutor, backend: str
) -> None:
    width = {"fake_line_5": 5, "fake_heavy_hex_19": 19}.get(backend, 45)
    inputs = {"circuits": chain(width), "run_config": {"method": "density_matrix", "shots": 10}}

    end = await last(executor, task("sampler", inputs, backend=backend))

    if backend == "fake_line_5":  # five qubits fit
        assert kind(end) == "returned"
    else:
        assert (kind(end), end.reason) == ("raised", "backend_error")
        assert "MiB are available: 12 qubits is the most for density_matrix here" in end.message


async def test_a_program_of_2021_is_told_alike(executor: SimulatorExecutor) -> None:
    inputs = {"circuits": BELL_2, "initial_layout": [0, 0], "shots": 5.0}

    end = await last(executor, task("circuit-runner", inputs, backend="fake_line_5"))

    assert (end.reason, end.message) == (
        "invalid_inputs",
        "initial_layout places two qubits of the circuit on qubit 0",
    )


async def test_arrays_that_are_small_enough_each_are_too_much_together(
    executor: SimulatorExecutor,
) -> None:
    one = zeros(30 * MIB)
    arrays = {f"a{number}": one for number in range(20)}

    end = await last(executor, task("sampler", {"circuits": BELL_2} | arrays))
    few = await last(executor, task("sampler", {"circuits": BELL_2, "a0": one}))

    assert (kind(end), end.reason) == ("raised", "invalid_inputs")
    assert f"unpacks to more than {300 * MIB} bytes" in end.message
    assert sum(value(few)["raw_counts"][0].values()) == 1024


def zeros(size: int) -> dict[str, str]:
    import base64
    import zlib

    import numpy as np

    file = io.BytesIO()
    np.save(file, np.zeros(size, np.uint8))
    text = base64.b64encode(zlib.compress(file.getvalue())).decode()
    return json.loads(json.dumps({"__type__": "ndarray", "__value__": text}))
