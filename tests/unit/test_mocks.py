"""Dry runs: which backend a mock stands for, and what it answers."""

import re

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from executors.backends import catalogue
from executors.faults import InvalidInputsError
from executors.programs.running import run
from executors.programs.transpiling import transpiled
from schemas.mocks import is_mock, meant_by, mock_of, not_there, with_mocks

KNOWN = ("aer_simulator", "fake_line_5", "ibm_x", "fake_x", "ideal")


@pytest.mark.parametrize("backend", KNOWN)
def test_a_mock_is_called_as_clients_make_its_name(backend: str) -> None:
    assert mock_of(backend) == re.sub(r"^[^_]+", "mock", backend)
    assert is_mock(mock_of(backend))
    assert not is_mock(backend)


def test_a_mock_means_the_only_backend_that_it_can_be_of() -> None:
    assert meant_by("mock_line_5", KNOWN) == "fake_line_5"
    assert meant_by("mock", KNOWN) == "ideal"
    assert meant_by("fake_x", KNOWN) == "fake_x"
    assert meant_by("mock_x", KNOWN) == "mock_x"  # of which of the two nobody can say
    assert with_mocks(frozenset({"fake_x"})) == {"fake_x", "mock_x"}


def test_names_that_have_one_mock_together_are_told() -> None:
    assert "the mock of fake_x and of ibm_x" in not_there("mock_x", KNOWN)
    assert "no backend 'mock_y'" in not_there("mock_y", KNOWN)


def rotated(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits, qubits)
    for qubit in range(qubits):
        circuit.rx(Parameter(f"p{qubit}"), qubit)
    circuit.measure(range(qubits), range(qubits))
    return circuit


def test_a_mock_answers_as_many_shots_of_as_many_circuits_and_runs_none() -> None:
    backend, circuit = catalogue.backend("mock_simulator"), rotated(200)  # no state of these fits

    values = {parameter: [0.1, 0.2, 0.3] for parameter in circuit.parameters}
    result = run(
        backend, transpiled([circuit] * 2, backend, {}), {"shots": 7, "memory": True}, values
    )

    assert len(result.results) == 6
    assert {tuple(result.get_memory(number)) for number in range(6)} == {("0" * 200,) * 7}


def test_a_mock_compiles_nothing_and_checks_what_is_asked_for() -> None:
    backend, circuit = catalogue.backend("mock_line_5"), rotated(5)

    assert transpiled([circuit], backend, {"optimization_level": 3}) == [circuit]
    with pytest.raises(InvalidInputsError, match="no option"):
        transpiled([circuit], backend, {"speed": 3})
    assert backend.num_qubits == 5
    assert not backend.is_ideal
