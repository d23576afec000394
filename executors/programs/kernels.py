"""Quantum kernels: feature maps, how alike data are to them, and the margin that an SVM reaches."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from scipy.optimize import minimize  # type: ignore[import-untyped]  # has no stubs

from executors.backends.aer import LocalSimulator
from executors.faults import BackendError, InvalidInputsError
from executors.programs.circuits import must_fit, read_state
from executors.programs.expectation import Numbers
from executors.programs.overlaps import Overlaps

MOST_QUBITS = 100  # of a feature map that is described by its dimension
MOST_PAIRS = 10_000  # that one entangles
STEPS = 1_000  # of the solver; it takes some 30
FIELD = "feature_map"
DATA = "x"
_TAKES_DATA = re.compile(rf"{DATA}(_?[0-9]+|\[[0-9]+\])?")  # x0, x_0, those of a vector, or x alone
_PARTS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """A circuit that takes data, and parameters of the kernel."""

    circuit: QuantumCircuit
    data: list[Parameter]
    kernel: list[Parameter]

    def values(self, row: Numbers, parameters: Numbers) -> Numbers:
        """In the order of the circuit's parameters."""
        named = dict(zip([*self.data, *self.kernel], [*row, *parameters], strict=True))
        return np.array([named[parameter] for parameter in self.circuit.parameters])


def read_feature_map(value: Any, backend: LocalSimulator) -> FeatureMap:
    """The one in *value*: a circuit, or dimension and entangled pairs as in 2021."""
    if isinstance(value, str) and value.lstrip().startswith("{"):  # as clients of 2021 send it
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise InvalidInputsError(f"{FIELD} is not JSON: {error}") from error
    if isinstance(value, Mapping):
        return _covariant(value, backend)
    circuit = read_state(value, FIELD, backend)
    data = [one for one in circuit.parameters if _TAKES_DATA.fullmatch(one.name)]
    kernel = [one for one in circuit.parameters if not _TAKES_DATA.fullmatch(one.name)]
    for what, found in (("for data, named x0, x1 …", data), ("of the kernel", kernel)):
        if not found:
            raise InvalidInputsError(f"{FIELD} has no parameters {what}")
    return FeatureMap(circuit, sorted(data, key=_natural), kernel)


def _natural(parameter: Parameter) -> list[Any]:
    """So that x10 comes after x9."""
    return [int(part) if part.isdigit() else part for part in _PARTS.split(parameter.name)]


def _covariant(value: Mapping[str, Any], backend: LocalSimulator) -> FeatureMap:
    """That of Glick et al., arXiv:2105.03406: a state by the kernel, then rotations by the data."""
    dimension = _whole(value.get("feature_dimension"))
    if dimension is None:
        raise InvalidInputsError(f"{FIELD}.feature_dimension must be an even number")
    if dimension < 2 or dimension % 2 or dimension > 2 * MOST_QUBITS:
        raise InvalidInputsError(
            f"{FIELD}.feature_dimension is {dimension}: an even number up to {2 * MOST_QUBITS} is "
            "wanted, for each qubit takes two features"
        )
    qubits = dimension // 2
    pairs = _pairs(value.get("entangler_map"), qubits)
    data = ParameterVector(DATA, dimension)
    kernel = ParameterVector("λ", qubits)
    circuit = QuantumCircuit(qubits)
    must_fit(circuit, FIELD, backend)
    for qubit in range(qubits):
        circuit.ry(-kernel[qubit], qubit)
    for one, other in pairs:
        circuit.cz(one, other)
    for qubit in range(qubits):
        circuit.rz(-2 * data[2 * qubit + 1], qubit)
        circuit.rx(-2 * data[2 * qubit], qubit)
    return FeatureMap(circuit, list(data), list(kernel))


def _pairs(value: Any, qubits: int) -> Iterable[tuple[int, int]]:
    if value is None:
        return combinations(range(qubits), 2)
    field = f"{FIELD}.entangler_map"
    if not isinstance(value, list) or len(value) > MOST_PAIRS:
        raise InvalidInputsError(f"{field} must be a list of at most {MOST_PAIRS:,} pairs")
    return [_pair(pair, f"{field}[{number}]", qubits) for number, pair in enumerate(value)]


def _pair(value: Any, where: str, qubits: int) -> tuple[int, int]:
    found = [_whole(item) for item in value] if isinstance(value, list | tuple) else []
    match found:
        case [int(one), int(other)] if one != other and {one, other} <= set(range(qubits)):
            return one, other
    raise InvalidInputsError(
        f"{where} is {str(value)[:60]}: a pair of the qubits 0 to {qubits - 1} is wanted"
    )


def _whole(value: Any) -> int | None:
    """*value* if it is a whole number; 1.0 is one to JSON."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value)


class Kernel:
    """How alike each two rows of *data* are, by the kernel's parameters."""

    def __init__(self, overlaps: Overlaps, feature_map: FeatureMap, data: Numbers) -> None:
        self._overlaps = overlaps
        self._map = feature_map
        self._data = data

    def at(self, parameters: Numbers, shots: int, seed: int | None) -> Numbers:
        """The kernel matrix."""
        rows = [self._map.values(row, parameters) for row in self._data]
        above = np.triu_indices(len(rows), 1)
        pairs = [(rows[one], rows[other]) for one, other in zip(*above, strict=True)]
        matrix = np.eye(len(rows))
        matrix[above] = self._overlaps.of(pairs, shots, seed)
        return np.maximum(matrix, matrix.T)


def margin_cost(matrix: Numbers, labels: Numbers, penalty: float) -> float:
    """The optimum of the SVM's dual problem: the smaller it is, the wider the margin."""
    signed = np.outer(labels, labels) * matrix
    found = minimize(
        lambda weights: weights @ signed @ weights / 2 - weights.sum(),
        np.zeros(len(labels)),
        jac=lambda weights: signed @ weights - 1,
        bounds=[(0, penalty)] * len(labels),
        constraints={
            "type": "eq",
            "fun": lambda weights: weights @ labels,
            "jac": lambda _: labels,
        },
        method="SLSQP",
        options={"maxiter": STEPS, "ftol": 1e-9},
    )
    if not found.success:
        raise BackendError(f"the SVM's dual problem was not solved: {found.message}")
    return -float(found.fun)
