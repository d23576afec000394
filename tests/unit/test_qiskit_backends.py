"""Backends of Qiskit as vendors: what their providers leave out or do in ways of their own."""

from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.providers import BackendV2, Options
from qiskit.transpiler import Target

from executors.hardware.said import RefusedError
from executors.hardware.vendors.qiskit_backend import BackendVendor


class Bare(BackendV2):  # type: ignore[misc]
    """Lists no options, as those of Braket do, and runs *factor* times as many shots as it is told."""

    def __init__(self, factor: int = 1) -> None:
        super().__init__(name="bare")
        self._factor = factor

    @property
    def target(self) -> Target:
        return Target(num_qubits=2)

    @property
    def max_circuits(self) -> int | None:
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: Any, shots: int = 1024) -> Any:
        return simulator().run(run_input, shots=shots * self._factor)


def simulator() -> Any:
    from qiskit_aer import AerSimulator

    return AerSimulator()


def coin() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    return circuit


def test_shots_are_passed_on_to_a_backend_that_does_not_list_them() -> None:
    vendor = BackendVendor(Bare())

    number = vendor.submit([coin()], {"shots": 200, "memory": True}, "tag")

    [found] = vendor.result(number)
    assert found.shots == 200


def test_more_shots_than_were_asked_for_are_no_answer() -> None:
    vendor = BackendVendor(Bare(factor=2))
    number = vendor.submit([coin()], {"shots": 200}, "tag")
    with pytest.raises(RefusedError, match="ran 400 shots, and 200 were asked for"):
        vendor.result(number)
