"""What each shot measured, whatever a backend tells of it."""

from typing import Any

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

from executors.backends.aer import LocalSimulator
from executors.faults import BackendError
from executors.programs.outcomes import sampled


class CountsAlone(LocalSimulator):
    """Tells counts, and of *lost* shots nothing."""

    def __init__(self, lost: int = 0) -> None:
        super().__init__()
        self._lost = lost

    def run(self, circuits: Any, parameter_binds: Any = None, **options: Any) -> Any:
        options["shots"] -= self._lost
        return super().run(circuits, parameter_binds, **(options | {"memory": False}))


def two_registers() -> QuantumCircuit:
    """Always the same in both, and in each as often 0 as 1."""
    circuit = QuantumCircuit(
        QuantumRegister(2), ClassicalRegister(1, "a"), ClassicalRegister(1, "b")
    )
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def outcomes(backend: LocalSimulator) -> Any:
    return sampled(backend, two_registers(), np.empty(0), 1000, np.random.default_rng(1), None)


def test_counts_alone_are_as_many_shots_whose_registers_belong_together(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = outcomes(CountsAlone())

    a, b = found["a"].array, found["b"].array
    assert np.array_equal(a, b)
    assert a.shape == (1000, 1)
    assert 400 < a.sum() < 600
    assert np.count_nonzero(np.diff(a[:, 0].astype(int))) > 300  # in no order
    assert "the order of the shots is not the device's" in capsys.readouterr().out


def test_fewer_outcomes_than_shots_are_no_result() -> None:
    with pytest.raises(BackendError, match="told 990 outcomes of 1000 shots"):
        outcomes(CountsAlone(lost=10))
