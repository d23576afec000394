"""Circuits, however they come: encoded, as OpenQASM 2 or 3 text, or a list of those."""

import re
from functools import lru_cache
from typing import Any

from qiskit import QuantumCircuit, qasm2, qasm3
from qiskit.circuit import Measure

from executors.backends.aer import LocalSimulator
from executors.faults import InvalidInputsError, blame

# Jobs that come again with the same circuit are common, and to parse OpenQASM 3 takes a millisecond.
KEPT = 64  # circuits
KEPT_LENGTH = 16 * 1024  # characters
_SKIPPED = re.compile(r"(?:\s+|//[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)
_HEADER = re.compile(r"OPENQASM\s+([0-9]+)")


def read_circuits(value: Any, field: str = "circuits") -> list[QuantumCircuit]:
    """The circuits in *value*; raises `InvalidInputsError`, which names the one that is wrong."""
    if not isinstance(value, list):
        return [read_circuit(value, field)]
    if not value:
        raise InvalidInputsError(f"{field} is empty")
    return [read_circuit(item, f"{field}[{number}]") for number, item in enumerate(value)]


def read_circuit(value: Any, field: str) -> QuantumCircuit:
    """The circuit in *value*; raises `InvalidInputsError`."""
    if isinstance(value, QuantumCircuit):
        return value
    if isinstance(value, str):
        return _parsed(value, field)
    raise InvalidInputsError(f"{field} is neither a circuit nor OpenQASM text")


def must_be_runnable(circuits: list[QuantumCircuit], backend: LocalSimulator) -> None:
    """Raise `InvalidInputsError` if one has open parameters, measures nothing or is too wide."""
    for number, circuit in enumerate(circuits):
        name = f"circuits[{number}]"
        if backend.most_qubits is not None and circuit.num_qubits > backend.most_qubits:
            raise InvalidInputsError(
                f"{name} has {circuit.num_qubits} qubits, and {backend.name} {backend.most_qubits}"
            )
        if circuit.parameters:
            names = ", ".join(parameter.name for parameter in circuit.parameters)
            raise InvalidInputsError(f"{name} has parameters without a value: {names}")
        if not _measures(circuit):
            raise InvalidInputsError(f"{name} measures nothing: add a measurement")


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


def _parsed(text: str, field: str) -> QuantumCircuit:
    version = _version(text)
    if version not in (2, 3):
        raise InvalidInputsError(
            f"{field} does not begin with OPENQASM 2.0; or OPENQASM 3.0; so its language is unknown"
        )
    with blame(InvalidInputsError, f"{field} is not valid OpenQASM {version}"):
        return _parse(text, version).copy() if len(text) <= KEPT_LENGTH else _loads(text, version)


@lru_cache(maxsize=KEPT)
def _parse(text: str, version: int) -> QuantumCircuit:
    return _loads(text, version)


def _loads(text: str, version: int) -> QuantumCircuit:
    if version == 3:
        return qasm3.loads(text)
    return qasm2.loads(
        text,
        include_path=(),  # qelib1.inc is built in, and no file of this machine is read
        custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS,
    )


def _version(text: str) -> int | None:
    skipped = _SKIPPED.match(text)
    header = _HEADER.match(text, skipped.end() if skipped else 0)
    return int(header[1]) if header else None
