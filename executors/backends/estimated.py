"""Between Qiskit's pubs of estimates and their results, and the plain values by which they travel.

The arguments of a compiled circuit's operations may be worked out from its parameters. What travels
has one parameter for each such argument, and its values: nobody else works anything out.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression, ParameterVector
from qiskit.exceptions import QiskitError
from qiskit.primitives import DataBin, PrimitiveResult, PubResult
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target

from executors.backends.compiled import circuit_of, compiled
from executors.backends.described import (
    Array,
    AskedPub,
    EstimatedPub,
    Estimates,
    Observables,
    Variable,
)
from executors.faults import InvalidInputsError, blame, in_its_words

Numbers = np.ndarray[Any, Any]


def asked_pub(
    circuit: QuantumCircuit,
    observables: Numbers,
    parameters: Sequence[Parameter],
    values: Numbers,
    precision: float | None,
    number: int,
) -> AskedPub:
    """The pub with that *number* as a value: *circuit* is compiled, *observables* are operators on its
    qubits, and the last dimension of *values* is *parameters*. Raises `InvalidInputsError`.
    """
    plain, variables, arguments = _apart(circuit)
    columns = [_column(one, parameters, values, number) for one in arguments]
    shape = (*values.shape[:-1], len(columns))
    rows: Numbers = np.stack(columns, axis=-1) if columns else np.empty(shape)
    return AskedPub(
        compiled(plain, number), variables, _described(observables), _array(rows), precision
    )


def _apart(
    circuit: QuantumCircuit,
) -> tuple[QuantumCircuit, tuple[Variable, ...], list[ParameterExpression]]:
    """*circuit* with zeros for what is worked out of its parameters; where that was, and what."""
    plain = circuit.copy_empty_like()
    plain.global_phase = 0  # of which no expectation value depends
    places: dict[ParameterExpression, int] = {}
    variables = []
    for number, item in enumerate(circuit.data):
        operation = item.operation
        given = list(operation.params)
        free = [at for at, each in enumerate(given) if isinstance(each, ParameterExpression)]
        if free:
            operation = operation.to_mutable()
            for at in free:
                column = places.setdefault(given[at], len(places))
                variables.append(Variable(number, at, column))
                given[at] = 0.0
            operation.params = given
            item = item.replace(operation=operation)
        plain._append(item)
    return plain, tuple(variables), list(places)


def _column(
    argument: ParameterExpression, parameters: Sequence[Parameter], values: Numbers, number: int
) -> Numbers:
    """What *argument* is at each of *values*."""
    names = list(parameters)
    if isinstance(argument, Parameter):
        return np.asarray(values[..., names.index(argument)])
    used = [(each, names.index(each)) for each in argument.parameters]
    shape = values.shape[:-1]
    rows = values.reshape(math.prod(shape), values.shape[-1])
    with blame(InvalidInputsError, f"pubs[{number}]: the circuit can not take its values"):
        found = [float(argument.bind({each: row[at] for each, at in used})) for row in rows]
    if not all(map(math.isfinite, found)):
        raise InvalidInputsError(
            f"pubs[{number}]: with its values, an angle of the circuit is no finite number"
        )
    return np.array(found).reshape(shape)


def _described(observables: Numbers) -> Observables:
    told: dict[int, tuple[tuple[str, float], ...]] = {}
    for one in observables.flat:
        if id(one) not in told:
            told[id(one)] = tuple((label, float(weight.real)) for label, weight in one.to_list())
    return Observables(observables.shape, tuple(told[id(one)] for one in observables.flat))


def _array(values: Any) -> Array:
    found = np.asarray(values, dtype=float)
    numbers = (float(one) if math.isfinite(one) else None for one in found.flat)
    return Array(found.shape, tuple(numbers))


def pub_of(told: AskedPub, target: Target, number: int) -> EstimatorPub:
    """The other way round; raises `InvalidInputsError` if *target* does not have all of it, or it does
    not go together.
    """
    circuit = circuit_of(told.circuit, target, number)
    try:
        parameters = ParameterVector("p", told.values.shape[-1] if told.values.shape else 0)
        for place in told.variables:
            item = circuit.data[place.operation]
            operation = item.operation.to_mutable()
            arguments = list(operation.params)
            arguments[place.argument] = parameters[place.column]
            operation.params = arguments
            circuit.data[place.operation] = item.replace(operation=operation)
        rows = np.array(told.values.numbers, dtype=float).reshape(told.values.shape)
        values = BindingsArray({tuple(parameters): rows}, rows.shape[:-1])
        return EstimatorPub(circuit, _operators(told.observables), values, told.precision)
    except (QiskitError, IndexError, TypeError, ValueError) as error:
        raise InvalidInputsError(f"pubs[{number}] is refused: {in_its_words(error)}") from error


def _operators(told: Observables) -> ObservablesArray:
    found = np.empty(len(told.operators), dtype=object)
    for place, terms in enumerate(told.operators):
        found[place] = SparsePauliOp.from_list(list(terms))
    return ObservablesArray(found.reshape(told.shape))


def estimates_of(result: PrimitiveResult[Any]) -> Estimates:
    """What a vendor has estimated, as a value. What is no number or array of them is left out."""
    pubs = []
    for pub in result:
        arrays = {name: np.asarray(pub.data[name]) for name in pub.data}
        fields = {name: _array(each) for name, each in arrays.items() if each.dtype.kind in "iuf"}
        pubs.append(EstimatedPub(pub.data.shape, fields, as_json(pub.metadata)))
    return Estimates(tuple(pubs), as_json(result.metadata))


def result_of(told: Estimates) -> PrimitiveResult[PubResult]:
    """The other way round."""
    pubs = []
    for pub in told.pubs:
        fields = {
            name: np.array(each.numbers, dtype=float).reshape(each.shape)
            for name, each in pub.fields.items()
        }
        pubs.append(PubResult(DataBin(shape=pub.shape, **fields), metadata=pub.metadata))
    return PrimitiveResult(pubs, metadata=told.metadata)


def as_json(told: Mapping[str, Any]) -> dict[str, Any]:
    """*told* in plain values; what else an SDK puts there stands as its words."""
    found: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode({str(name): value for name, value in told.items()}, enc_hook=_plain)
    )
    return found


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
