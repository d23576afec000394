"""Circuits, however they come: encoded, as OpenQASM 2 or 3 text, or a list of those."""

from collections.abc import Iterator
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import Measure

from executors import limits
from executors.backends.aer import LocalSimulator
from executors.faults import InvalidInputsError, within
from executors.gates import flat
from executors.programs import openqasm
from schemas.widths import declared

FEW = 10  # circuits; so many of the widest are no trouble


def read_circuits(value: Any, field: str = "circuits") -> list[QuantumCircuit]:
    """The circuits in *value*; raises `InvalidInputsError`, which names the one that is wrong."""
    if not isinstance(value, list):
        return [read_circuit(value, field)]
    if not value:
        raise InvalidInputsError(f"{field} is empty")
    if len(value) > FEW:
        limits.check_sum(declared(item) for item in value)
    found = []
    for number, item in enumerate(value):
        name = f"{field}[{number}]"
        several = isinstance(item, list) and item  # a QPY file may hold several
        found += read_circuits(item, name) if several else [read_circuit(item, name)]
    return found


def read_circuit(value: Any, field: str) -> QuantumCircuit:
    """The circuit in *value*; raises `InvalidInputsError`."""
    if isinstance(value, QuantumCircuit):
        with within(field):
            return flat(value)
    if isinstance(value, str):
        return openqasm.parse(value, field)
    raise InvalidInputsError(f"{field} is neither a circuit nor OpenQASM text")


def must_be_runnable(circuits: list[QuantumCircuit], backend: LocalSimulator) -> None:
    """Raise `InvalidInputsError` if one has open parameters, measures nothing or is too wide."""
    for number, circuit in enumerate(circuits):
        name = f"circuits[{number}]"
        if backend.most_qubits is not None and circuit.num_qubits > backend.most_qubits:
            named = openqasm.hardware_qubits(circuit)
            has = (
                f"names hardware qubit ${named[-1]}"
                if named
                else f"has {circuit.num_qubits} qubits"
            )
            raise InvalidInputsError(f"{name} {has}, {backend.name} has {backend.most_qubits}")
        if circuit.parameters:
            names = ", ".join(parameter.name for parameter in circuit.parameters)
            raise InvalidInputsError(
                f"{name} has parameters without a value: {names[:300]}; give parameter_values"
            )
        if variable := next(_variables(circuit), None):
            raise InvalidInputsError(
                f"{name} has a variable {variable!r}: simulators here have classical bits only"
            )
        if not _measures(circuit):
            raise InvalidInputsError(f"{name} measures nothing: add a measurement")


def _variables(circuit: QuantumCircuit) -> Iterator[str]:
    """The names of classical variables; Aer's own reading of them ends the process."""
    yield from (variable.name for variable in circuit.iter_vars())
    for item in circuit.data:
        if item.is_control_flow():
            for block in item.operation.blocks:
                yield from _variables(block)


def _measures(circuit: QuantumCircuit | None) -> bool:
    """Whether anything is measured, in a block or in an instruction's definition at least."""
    if circuit is None or not circuit.num_clbits:
        return False
    return any(
        isinstance(item.operation, Measure)
        or any(map(_measures, getattr(item.operation, "blocks", ())))
        or _measures(item.operation.definition)
        for item in reversed(circuit.data)
        if item.clbits
    )
