"""Values for parameters, in each form that they are given in."""

import json
import math
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector

from executors.backends import catalogue
from executors.faults import InvalidInputsError
from executors.programs import builtin
from executors.programs.circuits import read_circuits
from executors.programs.parameters import MOST_RUNS, bound
from executors.runtime_json import decode_inputs, encode

PI = math.pi
TURN = (
    'OPENQASM 3.0; include "stdgates.inc"; input float theta; input angle alpha; '
    "qubit[2] q; bit[2] c; rx(theta) q[0]; ry(alpha / 2) q[1]; c = measure q;"
)


def counts(circuits: Any, **inputs: Any) -> list[dict[str, int]]:
    """What the sampler gives, each input having gone the way of a message."""
    decoded = decode_inputs(encode({"circuits": circuits, **inputs}))
    program = builtin.load("sampler")
    assert not program.program.check_parameters(encode({"circuits": circuits, **inputs}))
    found = program.main(catalogue.backend("aer_simulator"), None, **decoded)
    return list(found["raw_counts"])


def outcomes(circuits: Any, **inputs: Any) -> list[str]:
    """The one outcome of each run."""
    return ["".join(found) for found in counts(circuits, **inputs)]


@pytest.mark.parametrize(
    "values",
    [
        [[0, PI]],  # alpha, theta
        [0, PI],
        [{"theta": PI, "alpha": 0}],
        {"theta": PI, "alpha": 0.0},
        np.array([[0, PI]]),
    ],
)
def test_values_are_given_in_order_or_by_name(values: Any) -> None:
    assert outcomes(TURN, parameter_values=values) == ["01"]


def test_a_circuit_runs_with_each_of_several_entries() -> None:
    values = [[0, PI], [0, 0], {"theta": 0, "alpha": 2 * PI}]

    assert outcomes(TURN, parameter_values=values) == ["01", "00", "10"]


def test_each_circuit_has_values_of_its_own() -> None:
    fixed = QuantumCircuit(1, 1)
    fixed.measure(0, 0)

    assert outcomes([TURN, fixed, TURN], parameter_values=[[0, PI], [], [2 * PI, 0]]) == [
        "01",
        "0",
        "10",
    ]


@pytest.mark.parametrize(
    ("binds", "told"),
    [
        ([{"theta": PI, "alpha": 0}], ["01"]),
        ([{"theta": [PI, 0], "alpha": [0, 0]}], ["01", "00"]),
    ],
)
def test_binds_are_taken_in_the_form_of_2021_and_of_aer(binds: Any, told: list[str]) -> None:
    assert outcomes(TURN, run_config={"parameter_binds": binds}) == told


def test_binds_may_name_parameters_in_the_runtime_encoding() -> None:
    one = Parameter("one")
    circuit = QuantumCircuit(1, 1)
    circuit.rx(one, 0)
    circuit.measure(0, 0)

    assert outcomes(circuit, run_config={"parameter_binds": [[[one, PI]]]}) == ["1"]


def test_the_circuit_runner_takes_values_too() -> None:
    program = builtin.load("circuit-runner")
    inputs = {"circuits": TURN, "parameter_values": [[0, PI]], "shots": 5}
    assert not program.program.check_parameters(json.dumps(inputs).encode())

    found = program.main(catalogue.backend("fake_line_5"), None, **inputs)

    assert found["results"][0]["shots"] == 5


def test_values_reach_blocks_definitions_and_the_global_phase() -> None:
    vector = ParameterVector("v", 12)
    inner = QuantumCircuit(1)
    inner.rx(vector[10] + vector[2], 0)
    circuit = QuantumCircuit(1, 1, global_phase=vector[0])
    with circuit.for_loop(range(1)):
        circuit.append(inner.to_gate(), [0])
    for element in vector:
        circuit.rz(element, 0)
    circuit.measure(0, 0)

    values = [0.0] * 12
    values[10] = values[2] = PI / 2

    assert outcomes(circuit, parameter_values=values) == ["1"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (None, "circuits[0] has parameters without a value: alpha, theta; give parameter_values"),
        ([{"theta": 1}], "circuits[0] has parameters without a value: alpha"),
        ([[1]], "parameter_values[0]: it has 1 values, and the circuit 2 parameters: alpha, theta"),
        ([{"thata": 1}], "no parameter 'thata' (did you mean theta?)"),
        ([[1, "pi"]], "the value of theta is pi, no finite number"),
        ([[1, True]], "the value of theta is True, no finite number"),
        ([[1, None]], "the value of theta is None, no finite number"),
        (np.array([[1.0, math.nan]]), "the value of theta is nan, no finite number"),
        ([1, [2]], "parameter_values[0]: it is neither a list of numbers nor an object"),
        ([{"theta": [1, 2], "alpha": [1]}], "its lists of values differ in length"),
        ([], "parameter_values must be a list with an entry for each circuit"),
        ("pi", "parameter_values must be a list"),
    ],
)
def test_values_that_do_not_fit_are_told(values: Any, told: str) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        builtin.load("sampler").main(
            catalogue.backend("aer_simulator"), None, circuits=TURN, parameter_values=values
        )

    assert told in str(caught.value)


def test_entries_that_are_not_as_many_as_circuits_are_told() -> None:
    with pytest.raises(InvalidInputsError, match="has 1 entries for 2 circuits"):
        bound(read_circuits([TURN, TURN]), [[0, 1]], None)


def test_one_of_two_ways_to_give_values_is_enough() -> None:
    with pytest.raises(InvalidInputsError, match="give one"):
        bound(read_circuits(TURN), [[0, 1]], [{}])


def test_too_many_runs_are_refused() -> None:
    many = [{"theta": [0.0] * (MOST_RUNS + 1)}]
    with pytest.raises(InvalidInputsError, match="more than 1000 runs"):
        bound(read_circuits(TURN), None, many)


def test_an_expression_that_becomes_no_number_is_refused() -> None:
    one = Parameter("one")
    circuit = QuantumCircuit(1, 1)
    circuit.rx(1 / one, 0)
    circuit.measure(0, 0)

    with pytest.raises(InvalidInputsError, match=r"^circuits\[0\]"):
        bound([circuit], [[0]], None)
