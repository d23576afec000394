"""`executor`: quantum programs as a stock client encodes them, and reads what comes back."""

import base64
import json
import math
import zlib
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Clbit, Parameter, Qubit
from qiskit_ibm_runtime.options_models import ExecutorOptions
from qiskit_ibm_runtime.quantum_program import QuantumProgram
from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS
from samplomatic import Twirl, build

from executors import runtime_json
from executors.backends import catalogue
from executors.faults import InvalidInputsError
from executors.programs import builtin

IDEAL, NOISY = "aer_simulator", "fake_line_5"


def encoded(program: QuantumProgram, version: str = "v2.0") -> dict[str, Any]:
    converter = QUANTUM_PROGRAM_PARAMS_CONVERTERS[version]
    found: dict[str, Any] = converter.encoder(program, ExecutorOptions()).model_dump(mode="json")
    return found


def run(inputs: dict[str, Any], backend: str = IDEAL) -> Any:
    """The answer as the client's model reads it."""
    program = builtin.load("executor")
    text = json.dumps(inputs).encode()
    assert program.program.check_parameters(text) == []
    answer = program.main(catalogue.backend(backend), None, **runtime_json.decode_inputs(text))
    found = runtime_json.encode(answer)
    assert program.program.check_result(found) == []
    models = __import__(
        f"ibm_quantum_schemas.executor.version_{inputs['schema_version'][1:].replace('.', '_')}",
        fromlist=["QuantumProgramResultModel"],
    )
    return models.QuantumProgramResultModel.model_validate_json(found)


def tensor(found: Any, item: int, name: str) -> Any:
    return found.data[item].results[name].to_numpy()


def turned() -> QuantumCircuit:
    """By `a` on one qubit, by `b` on the other; the first bit is the first qubit's."""
    circuit = QuantumCircuit(2, 2)
    circuit.rx(Parameter("a"), 0)
    circuit.rx(Parameter("b"), 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def of_circuit(values: Any, shots: int = 20, **more: Any) -> QuantumProgram:
    program = QuantumProgram(shots=shots, **more)
    program.append_circuit_item(turned(), circuit_arguments=np.array(values, dtype=float))
    return program


def twirled() -> tuple[QuantumCircuit, Any]:
    circuit = QuantumCircuit(2)
    with circuit.box([Twirl()]):
        circuit.rx(Parameter("a"), 0)
        circuit.cx(0, 1)
    with circuit.box([Twirl()]):
        circuit.measure_all()
    template, samplex = build(circuit)
    return template, samplex


def test_a_bit_of_no_register_stands_by_itself() -> None:
    circuit = QuantumCircuit([Qubit()], [Clbit()])
    circuit.x(0)
    circuit.measure(0, 0)
    program = QuantumProgram(shots=4)
    program.append_circuit_item(circuit)

    found = run(encoded(program))

    assert tensor(found, 0, "bit0").tolist() == [[True]] * 4


@pytest.mark.parametrize("version", ["v1.0", "v1.1", "v2.0"])
def test_outcomes_have_the_shape_of_the_arguments_and_bit_0_first(version: str) -> None:
    values = [[[0, 0], [math.pi, 0]], [[0, math.pi], [math.pi, math.pi]]]

    found = run(encoded(of_circuit(values), version))

    bits = tensor(found, 0, "c")
    assert bits.dtype == bool
    assert bits.shape == (2, 2, 20, 2)
    assert np.array_equal(bits.all(axis=2), np.array(values) > 1)
    assert np.array_equal(bits.any(axis=2), np.array(values) > 1)
    (span,) = found.metadata.chunk_timing
    assert span.start <= span.stop
    assert (span.parts[0].size, span.parts[0].permutation) == (4, [0, 1])


def test_what_only_passes_through_comes_back_as_it_was() -> None:
    passed = {"post": {"x": np.array([1.0, 2.0]), "y": [1, "z", None, True]}}

    found = run(encoded(of_circuit([0, 0], passthrough_data=passed)))

    assert list(found.passthrough_data["post"]["x"].to_numpy()) == [1.0, 2.0]
    assert found.passthrough_data["post"]["y"] == [1, "z", None, True]


@pytest.mark.parametrize("backend", [IDEAL, NOISY])
def test_a_samplex_draws_twirls_that_change_no_outcome(backend: str) -> None:
    template, samplex = twirled()
    program = QuantumProgram(shots=40)
    program.append_samplex_item(
        template,
        samplex=samplex,
        samplex_arguments={"parameter_values": np.array([[[0.0]], [[math.pi]]])},
        shape=(2, 8),
    )

    found = run(encoded(program) | {"seed": 5}, backend)

    bits, flips = tensor(found, 0, "meas"), tensor(found, 0, "measurement_flips.meas")
    assert bits.shape == (2, 8, 40, 2)
    assert flips.any()
    assert not flips.all()
    mean = (bits ^ flips).mean(axis=(1, 2))
    assert mean == pytest.approx(np.array([[0, 0], [1, 1]]), abs=0 if backend == IDEAL else 0.2)


def test_a_seed_makes_all_of_it_repeatable() -> None:
    template, samplex = twirled()
    program = QuantumProgram(shots=40)
    program.append_samplex_item(
        template, samplex=samplex, samplex_arguments={"parameter_values": [1.0]}, shape=(4,)
    )
    inputs = encoded(program) | {"seed": 5}

    first, second = run(inputs), run(inputs)

    for name in ("meas", "measurement_flips.meas"):
        assert np.array_equal(tensor(first, 0, name), tensor(second, 0, name))
    assert not np.array_equal(
        tensor(first, 0, "meas"), tensor(run(inputs | {"seed": 6}), 0, "meas")
    )


def compressed(size: int) -> str:
    return base64.b64encode(zlib.compress(b"\0" * size, 9)).decode()


def changed(**fields: Any) -> dict[str, Any]:
    """Inputs that would do, but for those fields of the program's one item."""
    inputs = encoded(of_circuit([0, 0]))
    inputs["quantum_program"]["items"][0] |= fields
    return inputs


def nan() -> dict[str, Any]:
    return encoded(of_circuit([0, float("nan")]))


def of_options(**options: Any) -> dict[str, Any]:
    return encoded(of_circuit([0, 0])) | {"options": options}


def of_program(**fields: Any) -> dict[str, Any]:
    inputs = encoded(of_circuit([0, 0]))
    inputs["quantum_program"] |= fields
    return inputs


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (nan(), r"items\[0\].circuit_arguments has a value that is no finite number"),
        (changed(item_type="samplex"), r"items.*samplex: Field required"),
        (changed(circuit_arguments={"data": "?", "shape": [2], "dtype": "f64"}), "compressed"),
        (
            changed(circuit_arguments={"data": compressed(8), "shape": [1], "dtype": "f64"}),
            r"shape \(1,\), and the circuit 2 parameters: a, b",
        ),
        (
            changed(circuit_arguments={"data": compressed(8), "shape": [9], "dtype": "f64"}),
            "inconsistent with shape",
        ),
        (
            changed(circuit_arguments={"data": compressed(1 << 30), "shape": [9], "dtype": "f64"}),
            r"circuit_arguments: .*unpacks to more than",
        ),
        (changed(shape=[10_000, 10_000]), r"asks for 100,000,000 runs, at most 10,000"),
        (
            of_program(shots=1_000_000, circuits={"data": ["OPENQASM 3.0; qubit q;"]}),
            "measures nothing",
        ),
        (of_program(circuits={"data": ["x", "y"]}), "exactly one circuit for every program item"),
        (of_program(passthrough_data={"data": "?", "shape": [1], "dtype": "f64"}), "no compressed"),
        (of_options(scheduler_timing=True), "options.scheduler_timing can not be honoured"),
        (of_options(experimental={"a": 1}), "options.experimental can not be honoured"),
    ],
)
def test_what_is_wrong_is_told_by_field_value_and_rule(inputs: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputsError, match=said):
        run(inputs)


def test_a_samplex_that_lacks_arguments_is_told_which() -> None:
    template, samplex = twirled()
    program = QuantumProgram(shots=40)
    program.append_samplex_item(
        template, samplex=samplex, samplex_arguments={"parameter_values": [1.0]}, shape=(4,)
    )
    inputs = encoded(program)
    inputs["quantum_program"]["items"][0]["samplex_arguments"] = {}

    with pytest.raises(InvalidInputsError, match="samplex_arguments lacks parameter_values"):
        run(inputs)


def test_a_circuit_too_wide_is_refused_before_it_runs() -> None:
    wide = QuantumCircuit(9)
    wide.measure_all()
    program = QuantumProgram(shots=1)
    program.append_circuit_item(wide)
    inputs = encoded(program)

    widest = builtin.load("executor").program.examine(json.dumps(inputs).encode()).widest

    assert widest.qubits == 9
    with pytest.raises(InvalidInputsError, match="has 9 qubits, fake_line_5 has 5"):
        run(inputs, NOISY)
