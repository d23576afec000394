"""Circuits, however they come: encoded, as OpenQASM 2 or 3 text, or a list of those."""

from collections.abc import Iterator
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Measure
from qiskit.circuit.classical import expr, types

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


def must_be_runnable(
    circuits: list[QuantumCircuit], backend: LocalSimulator, values: str = "parameter_values"
) -> None:
    """Raise `InvalidInputsError` if one has open parameters, measures nothing or is too wide.

    *values* is the input that has the parameters' values.
    """
    for number, circuit in enumerate(circuits):
        name = f"circuits[{number}]"
        must_fit(circuit, name, backend)
        if circuit.parameters:
            names = ", ".join(parameter.name for parameter in circuit.parameters)
            raise InvalidInputsError(
                f"{name} has parameters without a value: {names[:300]}; give {values}"
            )
        must_measure(circuit, name)


def must_measure(circuit: QuantumCircuit, name: str) -> None:
    """Raise `InvalidInputsError` if *circuit* measures nothing, or Aer does not run it."""
    if found := next(_beyond_aer(circuit), None):
        raise InvalidInputsError(f"{name} has {found}, which the simulators here do not run")
    if not _measures(circuit):
        raise InvalidInputsError(f"{name} measures nothing: add a measurement")


def must_fit(circuit: QuantumCircuit, name: str, backend: LocalSimulator) -> None:
    """Raise `InvalidInputsError` if *circuit*, which is called *name*, is wider than *backend*."""
    if backend.most_qubits is None or circuit.num_qubits <= backend.most_qubits:
        return
    named = openqasm.hardware_qubits(circuit)
    has = f"names hardware qubit ${named[-1]}" if named else f"has {circuit.num_qubits} qubits"
    raise InvalidInputsError(f"{name} {has}, {backend.name} has {backend.most_qubits}")


def read_state(value: Any, field: str, backend: LocalSimulator) -> QuantumCircuit:
    """The circuit in *value* that prepares a state, by gates alone; without classical bits."""
    circuit = read_circuit(value, field)
    must_fit(circuit, field, backend)
    if not circuit.num_qubits:
        raise InvalidInputsError(f"{field} has no qubits")
    made = QuantumCircuit(circuit.qubits, *circuit.qregs, global_phase=circuit.global_phase)
    made.metadata = circuit.metadata  # which qubits of the backend it names
    for number, item in enumerate(circuit.data):
        if item.name != "barrier" and not isinstance(item.operation, Gate):
            raise InvalidInputsError(
                f"{field} must prepare a state by gates alone, and instruction {number} is "
                f"{item.name}: leave it out"
            )
        made._append(item)
    return made


def _beyond_aer(circuit: QuantumCircuit) -> Iterator[str]:
    """What Aer can not run, or runs wrongly: variables end the process, and stores may be lost."""
    yield from (f"a classical variable, {variable.name!r}" for variable in circuit.iter_vars())
    for item in circuit.data:
        if item.name == "store":
            yield "an assignment to classical bits"
        if not item.is_control_flow():
            continue
        if not _is_evaluated(getattr(item.operation, "condition", None)):
            yield "a condition with other operators than logic, bits and comparisons"
        target = getattr(item.operation, "target", None)
        if isinstance(target, expr.Expr) and not isinstance(target, expr.Var):
            yield "a switch on an expression"
        for block in item.operation.blocks:
            yield from _beyond_aer(block)


def _is_evaluated(condition: Any) -> bool:
    """Whether Aer evaluates *condition*."""
    match condition:
        case expr.Value():
            return isinstance(condition.type, types.Bool | types.Uint)
        case expr.Cast() | expr.Unary():
            return getattr(condition, "op", None) in _UNARY and _is_evaluated(condition.operand)
        case expr.Binary():
            return condition.op in _BINARY and all(
                map(_is_evaluated, (condition.left, condition.right))
            )
        case _:
            return not isinstance(condition, expr.Expr) or isinstance(condition, expr.Var)


_UNARY = {None, expr.Unary.Op.BIT_NOT, expr.Unary.Op.LOGIC_NOT}  # none, for a cast
_BINARY = {
    operator
    for operator in expr.Binary.Op
    if operator.name.startswith(("BIT_", "LOGIC_", "EQUAL", "NOT_EQUAL", "LESS", "GREATER"))
}


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
