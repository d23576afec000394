"""Values for the parameters of circuits, in the forms that users give them."""

import difflib
import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from executors.faults import InvalidInputsError, blame, within
from executors.gates import flat

MOST_RUNS = 1000  # circuits with values that one job may ask for

Values = dict[Parameter, float]


def bound(circuits: Sequence[QuantumCircuit], values: Any, binds: Any) -> list[QuantumCircuit]:
    """*circuits* with the values of `parameter_values` or `parameter_binds`, whichever is given.

    Those of one circuit follow one another, in the order of its values.
    """
    if values is not None and binds is not None:
        raise InvalidInputsError("parameter_values and parameter_binds say the same: give one")
    if values is None and binds is None:
        return list(circuits)
    field = "parameter_binds" if values is None else "parameter_values"
    given = _listed(binds if values is None else values, field, circuits)
    if len(circuits) == 1:  # runs with each
        circuits = [circuits[0]] * len(given)
    if len(given) != len(circuits):
        raise InvalidInputsError(
            f"{field} has {len(given)} entries for {len(circuits)} circuits: one for each is wanted"
        )
    return [
        _with(circuit, found, number)
        for number, (circuit, found) in enumerate(_pairs(circuits, given, field))
    ]


def _listed(given: Any, field: str, circuits: Sequence[QuantumCircuit]) -> list[Any]:
    """One entry for each circuit; the values of a single circuit may stand by themselves."""
    given = given.tolist() if isinstance(given, np.ndarray) else given
    by_itself = isinstance(given, dict) or (
        isinstance(given, list | tuple)
        and given
        and all(_is_number(_plain(item)) for item in given)
    )
    if by_itself and len(circuits) == 1:
        given = [given]
    if not isinstance(given, list | tuple) or not given:
        raise InvalidInputsError(f"{field} must be a list with an entry for each circuit")
    return list(given)


def _plain(given: Any) -> Any:
    """*given* with arrays as lists."""
    if isinstance(given, np.ndarray):
        return given.tolist()
    return [_plain(item) for item in given] if isinstance(given, list | tuple) else given


def _pairs(
    circuits: Sequence[QuantumCircuit], given: Sequence[Any], field: str
) -> list[tuple[QuantumCircuit, Values]]:
    """Each circuit with each of the sets of values that it is to run with."""
    pairs: list[tuple[QuantumCircuit, Values]] = []
    for number, (circuit, entry) in enumerate(zip(circuits, given, strict=True)):
        with within(f"{field}[{number}]"):
            pairs += [(circuit, found) for found in _sets(circuit, _plain(entry))]
        if len(pairs) > MOST_RUNS:
            raise InvalidInputsError(f"{field} asks for more than {MOST_RUNS} runs")
    return pairs


def _sets(circuit: QuantumCircuit, entry: Any) -> list[Values]:
    known = list(circuit.parameters)
    if entry is None:
        return [{}]
    if isinstance(entry, dict):
        return _by_name(known, entry.items())
    if isinstance(entry, list) and all(_is_pair(item) for item in entry) and entry:
        return _by_name(known, entry)
    if not isinstance(entry, list):
        raise InvalidInputsError("it is neither a list of numbers nor an object with names")
    if len(entry) != len(known):
        names = ", ".join(parameter.name for parameter in known)[:300] or "none"
        raise InvalidInputsError(
            f"it has {len(entry)} values, and the circuit {len(known)} parameters: {names}"
        )
    return [
        {
            parameter: _number(value, parameter.name)
            for parameter, value in zip(known, entry, strict=True)
        }
    ]


def _by_name(known: Sequence[Parameter], items: Iterable[Any]) -> list[Values]:
    """The values by names or parameters; with lists of them, as Aer has it, one set for each."""
    found: dict[Parameter, list[float]] = {}
    for key, value in items:
        parameter = _parameter(known, key)
        row = value if isinstance(value, list) else [value]
        found[parameter] = [_number(item, parameter.name) for item in row]
    lengths = {len(row) for row in found.values()} or {1}
    if len(lengths) > 1:
        raise InvalidInputsError("its lists of values differ in length")
    return [
        {parameter: row[number] for parameter, row in found.items()}
        for number in range(lengths.pop())
    ]


def _parameter(known: Sequence[Parameter], key: Any) -> Parameter:
    name = key.name if isinstance(key, Parameter) else str(key)
    if isinstance(key, Parameter) and key in known:
        return key
    for parameter in known:
        if parameter.name == name:
            return parameter
    near = difflib.get_close_matches(name, [parameter.name for parameter in known], 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise InvalidInputsError(f"the circuit has no parameter {name[:100]!r}{hint}")


def _is_pair(item: Any) -> bool:
    return isinstance(item, list) and len(item) == 2 and isinstance(item[0], Parameter | str)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _number(value: Any, name: str) -> float:
    if not _is_number(value) or not math.isfinite(value):
        raise InvalidInputsError(f"the value of {name} is {str(value)[:100]}, no finite number")
    return float(value)


def _with(circuit: QuantumCircuit, values: Values, number: int) -> QuantumCircuit:
    if not values:
        return circuit
    with blame(InvalidInputsError, f"circuits[{number}] can not take its values"):
        made = circuit.assign_parameters(values)
    with within(f"circuits[{number}]"):
        return flat(made)
