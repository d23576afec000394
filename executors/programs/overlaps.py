"""How much two states that one circuit prepares overlap."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from executors.backends.aer import LocalSimulator
from executors.programs.expectation import (
    CIRCUITS,
    Numbers,
    Values,
    is_derived,
    must_be_ideal,
    with_values,
)
from executors.programs.running import counts_of, run
from executors.programs.transpiling import transpiled


class Overlaps:
    """How much two states overlap, |⟨first|second⟩|², each with values for its parameters."""

    def __init__(
        self,
        backend: LocalSimulator,
        state: QuantumCircuit,
        options: Mapping[str, Any],
        exact: bool = False,
        method: str | None = None,
    ) -> None:
        self._backend = backend
        self._exact = exact
        self._method = method
        first = {parameter: Parameter(f"first {number}") for number, parameter in _numbered(state)}
        second = {
            parameter: Parameter(f"second {number}") for number, parameter in _numbered(state)
        }
        self._names = [*first.values(), *second.values()]
        made = state.assign_parameters(second)
        for item in state.assign_parameters(first).inverse().data:
            made._append(item)
        if exact:
            must_be_ideal(backend)
            transpiled([made], backend, options)  # refuses a layout that can not be
            # With one, the circuit is as wide as the backend, and Aer simulates all of it.
            (ready,) = transpiled([made], backend, {**options, "initial_layout": None})
            self._ready = ready.copy()
            self._ready.save_amplitudes_squared([0], label="value")
        else:
            made.measure_all()
            (self._ready,) = transpiled([made], backend, options)
        self._qubits = state.num_qubits
        self._derived = is_derived(self._ready)

    def of(self, pairs: Sequence[tuple[Values, Values]], shots: int, seed: int | None) -> Numbers:
        """One overlap for each pair of values."""
        found: list[float] = []
        for start in range(0, len(pairs), CIRCUITS):
            circuits = [
                with_values(
                    self._ready,
                    dict(zip(self._names, map(float, (*one, *other)), strict=True)),
                    self._derived,
                )
                for one, other in pairs[start : start + CIRCUITS]
            ]
            found += self._run(circuits, shots, seed if seed is None else seed + start)
        return np.array(found)

    def _run(self, circuits: list[QuantumCircuit], shots: int, seed: int | None) -> list[float]:
        if self._exact:
            result = run(self._backend, circuits, {"method": self._method})
            return [float(result.data(number)["value"][0]) for number in range(len(circuits))]
        options = {"shots": shots, "seed_simulator": seed, "method": self._method}
        result = run(self._backend, circuits, options)
        nothing = "0" * self._qubits
        return [counts.get(nothing, 0) / shots for counts in counts_of(result)]


def _numbered(state: QuantumCircuit) -> list[tuple[int, Parameter]]:
    return list(enumerate(state.parameters))
