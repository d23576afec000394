"""Expectation values of operators in the state that a circuit prepares.

Sampled, as on a device: each set of terms that agree qubit by qubit is measured by one circuit.
Or exact, which only a simulator without noise can do.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import qiskit_aer.library  # noqa: F401  teaches circuits to save what Aer computes
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression, pauli_twirl_2q_gates
from qiskit.quantum_info import SparsePauliOp
from qiskit.result import Result

from executors.backends.aer import NAME as IDEAL
from executors.backends.aer import LocalSimulator
from executors.faults import InvalidInputsError, blame
from executors.programs.mitigation import Calibrated
from executors.programs.running import counts_of, run
from executors.programs.transpiling import transpiled

AT_ONCE = 1 << 22  # signs of terms that are worked out together
CIRCUITS = 200  # that are run together
_ROTATIONS = frozenset({"rx", "ry", "rz", "p", "u", "rxx", "ryy", "rzz"})

Numbers = np.ndarray[Any, Any]
Values = Sequence[float] | Numbers


@dataclass(frozen=True, slots=True)
class Estimate:
    """An expectation value, and the variance of this estimate of it."""

    value: float
    variance: float = 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """Terms that one circuit measures: what they are on the measured qubits, and their weights."""

    basis: Mapping[int, str]  # qubit → X, Y or Z
    masks: Numbers  # one row for each term: which measured qubits it is on
    weights: Numbers

    def values(self, outcomes: Sequence[str]) -> Numbers:
        """What the terms come to, together, for each outcome."""
        bits = np.array([[bit == "1" for bit in reversed(outcome)] for outcome in outcomes])
        step = max(1, AT_ONCE // len(self.weights))
        parts = [
            (1 - 2 * (bits[start : start + step].astype(np.int32) @ self.masks.T % 2))
            @ self.weights
            for start in range(0, len(bits), step)
        ]
        return np.concatenate(parts)


def grouped(operator: SparsePauliOp) -> tuple[float, list[Group]]:
    """What *operator* is in any state, and the rest of it by circuits to measure."""
    on_any = operator.paulis.x.any(axis=1) | operator.paulis.z.any(axis=1)
    constant = float(np.sum(operator.coeffs[~on_any].real))
    if not on_any.any():
        return constant, []
    rest = SparsePauliOp(operator.paulis[on_any], operator.coeffs[on_any])
    return constant, [_group(part) for part in rest.group_commuting(qubit_wise=True)]


def _group(part: SparsePauliOp) -> Group:
    x, z = part.paulis.x, part.paulis.z
    with_x, with_z = x.any(axis=0), z.any(axis=0)
    qubits = [int(qubit) for qubit in np.flatnonzero(with_x | with_z)]
    letters = {(True, False): "X", (True, True): "Y", (False, True): "Z"}
    basis = {qubit: letters[bool(with_x[qubit]), bool(with_z[qubit])] for qubit in qubits}
    return Group(basis, (x | z)[:, qubits].astype(np.int32), part.coeffs.real)


def _measuring(state: QuantumCircuit, group: Group) -> QuantumCircuit:
    made = QuantumCircuit(state.qubits, *state.qregs, global_phase=state.global_phase)
    made.metadata = state.metadata
    for item in state.data:
        made._append(item)
    bits = QuantumCircuit(0, len(group.basis)).clbits
    made.add_bits(bits)
    for bit, (qubit, letter) in zip(bits, group.basis.items(), strict=True):
        if letter == "Y":
            made.sdg(qubit)
        if letter != "Z":
            made.h(qubit)
        made.measure(qubit, bit)
    return made


def takes_values(circuit: QuantumCircuit) -> bool:
    """Whether each parameter of *circuit* is just the angle of a plain rotation."""
    return (
        bool(circuit.parameters)
        and not is_derived(circuit)
        and all(
            item.name in _ROTATIONS
            for item in circuit.data
            if any(isinstance(value, ParameterExpression) for value in item.params)
        )
    )


class Bound:
    """Compiled circuits that take values for the parameters that *state* has."""

    def __init__(self, state: QuantumCircuit, circuits: Sequence[QuantumCircuit]) -> None:
        self.parameters: list[Parameter] = list(state.parameters)
        self.circuits = circuits
        self._derived = [is_derived(circuit) for circuit in circuits]

    def at(self, values: Values) -> list[QuantumCircuit]:
        """The circuits with those values; compiling may have done away with a parameter."""
        named = dict(zip(self.parameters, map(float, values), strict=True))
        return [
            with_values(circuit, named, derived)
            for circuit, derived in zip(self.circuits, self._derived, strict=True)
        ]


def is_derived(circuit: QuantumCircuit) -> bool:
    """Whether an angle of *circuit* is worked out from parameters, rather than one of them."""
    return any(
        isinstance(value, ParameterExpression) and not isinstance(value, Parameter)
        for item in circuit.data
        for value in item.params
    )


def with_values(
    circuit: QuantumCircuit, values: Mapping[Parameter, float], derived: bool = True
) -> QuantumCircuit:
    """*circuit* with *values*; raises `InvalidInputsError` if an angle becomes no finite number.

    To look at each angle takes ten times as long as to give it its value. Where none is *derived*,
    the values are all that there is to look at.
    """
    with blame(InvalidInputsError, "the circuit can not take its values"):
        made: QuantumCircuit = circuit.assign_parameters(values, strict=False)
    if not derived and all(map(math.isfinite, values.values())):
        return made
    for number, item in enumerate(made.data):
        if any(isinstance(value, float) and not math.isfinite(value) for value in item.params):
            raise InvalidInputsError(
                f"with its values, instruction {number} ({item.name}) of the circuit has an angle "
                "that is no finite number"
            )
    return made


class Sampled:
    """Estimates of what *operator* is in a state, from so many shots for each circuit."""

    def __init__(
        self,
        backend: LocalSimulator,
        state: QuantumCircuit,
        operator: SparsePauliOp,
        options: Mapping[str, Any],
        mitigated: bool = False,
        seed: int | None = None,
        twirls: int = 0,
        method: str | None = None,
    ) -> None:
        self._backend = backend
        self._method = method
        self._twirls = 0 if backend.is_ideal else twirls  # there is nothing to average
        self._constant, self._groups = grouped(operator)
        circuits = [_measuring(state, group) for group in self._groups]
        ready = transpiled(circuits, backend, options) if circuits else []
        self._bound = Bound(state, ready)
        self._calibrated = Calibrated(backend, ready, seed) if mitigated and ready else None

    def at(self, values: Values, shots: int, seed: int | None) -> Estimate:
        """The estimate for those values of the state's parameters."""
        return self.at_all([values], shots, seed)[0]

    def at_all(self, points: Sequence[Values], shots: int, seed: int | None) -> list[Estimate]:
        """The estimate for each of *points*, whose circuits are run together."""
        size = len(self._groups)
        if not size:
            return [Estimate(self._constant) for _ in points]
        circuits = [circuit for values in points for circuit in self._bound.at(values)]
        found = self._counts(circuits, shots, seed)
        return [self._sum(found[start : start + size]) for start in range(0, len(found), size)]

    def _sum(self, found: Sequence[Mapping[str, int]]) -> Estimate:
        """What the groups come to, by a histogram for each."""
        if self._calibrated is not None:
            corrected = self._calibrated.corrected(found)
            parts = [
                _estimate(group, one.quasi, one.overhead, sum(counts.values()))
                for group, one, counts in zip(self._groups, corrected, found, strict=True)
            ]
        else:
            parts = [
                _estimate(group, counts, 1.0)
                for group, counts in zip(self._groups, found, strict=True)
            ]
        value = self._constant + math.fsum(part.value for part in parts)
        return Estimate(value, math.fsum(part.variance for part in parts))

    def _counts(
        self, circuits: Sequence[QuantumCircuit], shots: int, seed: int | None
    ) -> list[dict[str, int]]:
        """One histogram for each of *circuits*."""
        if self._twirls:
            return self._twirled(circuits, shots, seed)
        found = []
        for start in range(0, len(circuits), CIRCUITS):
            options = {
                "shots": shots,
                "seed_simulator": None if seed is None else seed + start,
                "method": self._method,
            }
            found += counts_of(run(self._backend, circuits[start : start + CIRCUITS], options))
        return found

    def _twirled(
        self, circuits: Sequence[QuantumCircuit], shots: int, seed: int | None
    ) -> list[dict[str, int]]:
        """The same, each from that many circuits with random Paulis around two-qubit gates."""
        each = {
            "shots": math.ceil(shots / self._twirls),
            "seed_simulator": seed,
            "method": self._method,
        }
        found = []
        for circuit in circuits:
            total: Counter[str] = Counter()
            made = pauli_twirl_2q_gates(
                circuit, seed=seed, num_twirls=self._twirls, target=self._backend.target
            )
            for start in range(0, len(made), CIRCUITS):
                for counts in counts_of(run(self._backend, made[start : start + CIRCUITS], each)):
                    total.update(counts)
            found.append(dict(total))
        return found


def _estimate(
    group: Group, counts: Mapping[str, float], overhead: float, shots: int | None = None
) -> Estimate:
    """The value of a group, and its variance: M3 needs *overhead* times the shots."""
    numbers = np.array(list(counts.values()), dtype=float)
    total = float(numbers.sum())
    values = group.values([outcome.replace(" ", "") for outcome in counts])
    mean = float(values @ numbers) / total
    spread = max(0.0, float((values - mean) ** 2 @ numbers) / total)
    return Estimate(mean, spread * overhead / (shots or total))


class Exact:
    """What *operator* is in a state, without the noise of shots."""

    def __init__(
        self,
        backend: LocalSimulator,
        state: QuantumCircuit,
        operator: SparsePauliOp,
        options: Mapping[str, Any],
        method: str | None = None,
    ) -> None:
        must_be_ideal(backend)
        self._backend = backend
        self._method = method
        (ready,) = transpiled([state], backend, options)
        saving = ready.copy()
        saving.save_expectation_value(operator, _places(ready))
        self._bound = Bound(state, [saving])
        self._takes_values = takes_values(saving)

    def at(self, values: Values) -> Estimate:
        """The value for those values of the state's parameters."""
        return self.at_all([values])[0]

    def at_all(self, points: Sequence[Values]) -> list[Estimate]:
        """The value for each of *points*, whose circuits are run together."""
        rows = np.array([np.asarray(values, dtype=float) for values in points])
        if self._takes_values and np.isfinite(rows).all():
            result = self._run_with(rows)
        else:
            circuits = [circuit for values in points for circuit in self._bound.at(values)]
            result = run(self._backend, circuits, {"method": self._method})
        return [
            Estimate(float(result.data(one)["expectation_value"])) for one in range(len(points))
        ]

    def _run_with(self, rows: Numbers) -> Result:
        """The same from Aer, which takes less time to put values into a circuit of plain turns."""
        (circuit,) = self._bound.circuits
        columns = zip(self._bound.parameters, rows.T, strict=True)
        binds = {name: column.tolist() for name, column in columns if name in circuit.parameters}
        return run(self._backend, [circuit], {"method": self._method}, binds)


def _places(ready: QuantumCircuit) -> list[int]:
    """Where the qubits of the circuit that was compiled are at its end."""
    if ready.layout is None:
        return list(range(ready.num_qubits))
    places: list[int] = ready.layout.final_index_layout()
    return places


def must_be_ideal(backend: LocalSimulator, field: str = "exact") -> None:
    """Raise `InvalidInputsError` if values without shots are not to be had."""
    if not backend.is_ideal:
        raise InvalidInputsError(
            f"{field}: {backend.name} has noise, which is sampled; values without shots are for "
            f"the backend {IDEAL}"
        )
