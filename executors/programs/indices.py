"""What the oldest clients of the V1 primitives send: circuits by their index, parameters in an order."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from executors.faults import InvalidInputsError

MOST_INDICES = 10_000

T = TypeVar("T")


def picked(things: Sequence[T], indices: Any, field: str, of: str) -> list[T]:
    """Those of *things*, which are called *of*, that *indices* name; all, where there are none."""
    if indices is None:
        return list(things)
    given = indices.tolist() if isinstance(indices, np.ndarray) else indices
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_INDICES:
        raise InvalidInputsError(f"{field} must be a list of 1 to {MOST_INDICES:,}")
    return [
        things[_index(index, f"{field}[{n}]", len(things), of)] for n, index in enumerate(given)
    ]


def _index(value: Any, where: str, size: int, of: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise InvalidInputsError(f"{where} must be a whole number")
    if not 0 <= value < size:
        raise InvalidInputsError(f"{where} is {value}: there are {size} {of}, 0 to {size - 1}")
    return int(value)


def in_order(values: Any, parameters: Any, indices: Any, circuits: Sequence[QuantumCircuit]) -> Any:
    """*values* for the picked *circuits* in the order of their own parameters.

    A client may have said another order in *parameters*, which has a list for each circuit sent.
    """
    orders = _orders(parameters)
    if values is None or not orders:
        return values
    orders = picked(orders, indices, "circuit_indices", "parameters")
    given = values.tolist() if isinstance(values, np.ndarray) else values
    if isinstance(given, list) and len(orders) == len(circuits) == 1:  # it runs with each
        orders, circuits = orders * len(given), [*circuits] * len(given)
    if not isinstance(given, list) or not len(given) == len(orders) == len(circuits):
        return values  # whoever takes them says what is wrong
    return [
        _placed(entry, order, circuit, f"parameters[{number}]")
        for number, (entry, order, circuit) in enumerate(zip(given, orders, circuits, strict=True))
    ]


def _orders(parameters: Any) -> list[list[str] | None]:
    """The names of each circuit's parameters; None where they can not be told."""
    if not isinstance(parameters, list):
        return []
    return [_names(entry) for entry in parameters]


def _names(entry: Any) -> list[str] | None:
    if not isinstance(entry, list) or not all(isinstance(one, Parameter | str) for one in entry):
        return None
    return [one.name if isinstance(one, Parameter) else one for one in entry]


def _placed(entry: Any, order: list[str] | None, circuit: QuantumCircuit, where: str) -> Any:
    known = [parameter.name for parameter in circuit.parameters]
    if not order or order == known:
        return entry
    if sorted(order) != sorted(known):
        listed = ", ".join(known)[:300] or "none"
        raise InvalidInputsError(f"{where} must name each of the circuit's parameters: {listed}")
    given = entry.tolist() if isinstance(entry, np.ndarray) else entry
    if not isinstance(given, list) or len(given) != len(order):
        return entry
    by_name = dict(zip(order, given, strict=True))
    return [by_name[name] for name in known]
