"""The oldest clients of the V1 primitives: circuits by index, values in an order of their own."""

import math
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

from executors import runtime_json
from executors.backends import catalogue
from executors.faults import InvalidInputsError
from executors.programs import builtin

IDEAL = "aer_simulator"


def run(program: str, **inputs: Any) -> Any:
    found = builtin.load(program)
    assert found.program.check_parameters(runtime_json.encode(inputs)) == []
    return found.main(catalogue.backend(IDEAL), None, **inputs)


def turned() -> QuantumCircuit:
    """By `a` on one qubit, by `b` on the other."""
    circuit = QuantumCircuit(2)
    circuit.rx(Parameter("a"), 0)
    circuit.rx(Parameter("b"), 1)
    return circuit


def flipped() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.x([0, 1])
    return circuit


def measured(circuit: QuantumCircuit) -> QuantumCircuit:
    circuit.measure_all()
    return circuit


def test_a_sampler_runs_circuits_by_index_as_often_as_they_are_named() -> None:
    found = run(
        "sampler",
        circuits=[measured(turned()), measured(flipped())],
        circuit_indices=[1, 0, 0],
        parameter_values=[[], [math.pi, 0], [0, math.pi]],
        run_options={"shots": 10},
    )

    assert found["quasi_dists"] == [{"11": 1.0}, {"01": 1.0}, {"10": 1.0}]


def test_indices_alone_make_it_a_request_of_a_v1_primitive() -> None:
    found = run("sampler", circuits=[measured(flipped())], circuit_indices=[0])

    assert found["quasi_dists"] == [{"11": 1.0}]


@pytest.mark.parametrize("named", [Parameter, str])
def test_values_are_in_the_order_that_the_client_gave_its_parameters(named: Any) -> None:
    found = run(
        "sampler",
        circuits=[measured(turned())],
        circuit_indices=[0],
        parameters=[[named("b"), named("a")]],
        parameter_values=[[math.pi, 0]],
        run_options={"shots": 10},
    )

    assert found["quasi_dists"] == [{"10": 1.0}]


def test_a_circuit_alone_runs_with_each_of_its_values_in_that_order() -> None:
    found = run(
        "sampler",
        circuits=[measured(turned())],
        parameters=[["b", "a"]],
        parameter_values=[[math.pi, 0], [0, math.pi]],
        run_options={"shots": 10},
    )

    assert found["quasi_dists"] == [{"10": 1.0}, {"01": 1.0}]


def test_an_estimator_takes_circuits_and_observables_by_index() -> None:
    found = run(
        "estimator",
        circuits=[turned(), flipped()],
        observables=[SparsePauliOp("IZ"), SparsePauliOp("ZI"), SparsePauliOp("ZZ")],
        circuit_indices=[0, 0, 1],
        observable_indices=[0, 1, 2],
        parameters=[[Parameter("b"), Parameter("a")], []],
        parameter_values=[[math.pi, 0], [math.pi, 0], []],
        run_options={"shots": 100},
    )

    assert list(found["values"]) == [1.0, -1.0, 1.0]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"circuit_indices": [0, 2]}, r"circuit_indices\[1\] is 2: there are 1 circuits, 0 to 0"),
        ({"circuit_indices": [0], "parameters": [["a", "c"]]}, "must name each of the circuit"),
        ({"circuit_indices": [0], "parameters": [["a"]]}, "must name each of the circuit"),
    ],
)
def test_what_does_not_fit_is_told_by_its_name(inputs: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputsError, match=said):
        run("sampler", circuits=[measured(turned())], parameter_values=[[0, 0]], **inputs)
