"""Pubs of the V2 estimator: circuits, observables and values, of shapes that go together."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from executors.backends.aer import LocalSimulator
from executors.faults import InvalidInputsError
from executors.programs.circuits import read_state
from executors.programs.expectation import Numbers
from executors.programs.operators import read_operator
from executors.programs.primitive_options import read_values

MOST_PUBS = 1_000
MOST_VALUES = 100_000  # expectation values of one job
MOST_LEVELS = 8  # of lists of observables


@dataclass(frozen=True, slots=True)
class Pub:
    """A circuit, observables and values, of shapes that go together."""

    state: QuantumCircuit
    observables: Numbers  # of operators
    values: Numbers  # one more dimension: the parameters
    precision: Any  # as it was given

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        return np.broadcast_shapes(self.observables.shape, self.values.shape[:-1])


def read_pubs(pubs: Any, backend: LocalSimulator) -> list[Pub]:
    """Those in *pubs*, for *backend*; raises `InvalidInputsError`."""
    if not isinstance(pubs, list) or not 1 <= len(pubs) <= MOST_PUBS:
        raise InvalidInputsError(f"pubs must be a list of 1 to {MOST_PUBS:,}")
    read = [_pub(pub, f"pubs[{number}]", backend) for number, pub in enumerate(pubs)]
    _check_sum(math.prod(pub.shape) for pub in read)
    return read


def _pub(value: Any, where: str, backend: LocalSimulator) -> Pub:
    if not isinstance(value, list) or not 2 <= len(value) <= 4:
        raise InvalidInputsError(f"{where} must be [circuit, observables, values, precision]")
    circuit, observables, values, precision = [*value, None, None][:4]
    state = read_state(circuit, f"{where}[0]", backend)
    found = _observables(observables, f"{where}[1]", state.num_qubits)
    given = read_values(values, f"{where}[2]", state)
    try:
        np.broadcast_shapes(found.shape, given.shape[:-1])
    except ValueError as error:
        raise InvalidInputsError(
            f"{where}: observables of shape {found.shape} and values of shape {given.shape[:-1]} "
            "do not go together"
        ) from error
    return Pub(state, found, given, precision)


def _observables(value: Any, where: str, num_qubits: int) -> Numbers:
    """Operators in the shape of the lists that they stand in."""
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        if not inner or len(shape) == MOST_LEVELS:
            raise InvalidInputsError(f"{where} has an empty list, or too many levels of lists")
        shape.append(len(inner))
        inner = inner[0]
    if math.prod(shape) > MOST_VALUES:
        raise InvalidInputsError(f"{where} has more than {MOST_VALUES:,} observables")
    found: Numbers = np.empty(shape, dtype=object)
    for place in np.ndindex(*shape):
        inner, name = value, where
        for level, index in enumerate(place):
            if not isinstance(inner, list) or len(inner) != shape[level]:
                raise InvalidInputsError(f"{name} has not as many entries as the others")
            inner, name = inner[index], f"{name}[{index}]"
        if isinstance(inner, list):
            raise InvalidInputsError(f"{name} has more levels of lists than the others")
        found[place] = read_operator(inner, name, num_qubits)
    return found


def _check_sum(sizes: Iterator[int]) -> None:
    if (wanted := sum(sizes)) > MOST_VALUES:
        raise InvalidInputsError(
            f"the job asks for {wanted:,} expectation values, at most {MOST_VALUES:,} are taken"
        )
