"""Circuits with control flow, in a form that Aer runs without stumbling.

Aer makes jumps and marks of control flow, then drops what has no influence on a measurement, and
sizes its classical memory by what is measured. Both go wrong by what a block leaves out, or by the
last measurement in one: a mark is dropped while the jump to it stays, and a bit that is read but
never written is out of bounds. Of a number that a register is compared with, it takes as many bits
as the register has.
"""

from collections.abc import Sequence
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import (
    CircuitInstruction,
    ClassicalRegister,
    ControlFlowOp,
    IfElseOp,
    Qubit,
    WhileLoopOp,
)
from qiskit.circuit.classical import expr


def steadied(circuit: QuantumCircuit) -> QuantumCircuit:
    """*circuit*, with each block on all qubits that are used, and the last bit measured behind them
    in a block that is never entered, if it has any block.
    """
    if not any(item.is_control_flow() for item in circuit.data):
        return circuit
    used = {qubit for item in circuit.data if item.name != "barrier" for qubit in item.qubits}
    made = _widened(circuit, [qubit for qubit in circuit.qubits if qubit in used])
    if made.num_clbits and used:
        _name_last_bit(made, next(qubit for qubit in made.qubits if qubit in used))
    return made


def _widened(circuit: QuantumCircuit, qubits: Sequence[Qubit]) -> QuantumCircuit:
    made = circuit.copy_empty_like()
    for item in circuit.data:
        made._append(_on_all(item, qubits) if _has_blocks(item) else item)
    return made


def _has_blocks(item: CircuitInstruction) -> bool:
    return isinstance(item.operation, ControlFlowOp) and bool(item.operation.blocks)


def _on_all(item: CircuitInstruction, qubits: Sequence[Qubit]) -> CircuitInstruction:
    others = [qubit for qubit in qubits if qubit not in item.qubits]
    blocks = []
    for block in item.operation.blocks:
        wide = block.copy()
        wide.add_bits([Qubit() for _ in others])
        blocks.append(_widened(wide, wide.qubits))
    operation = item.operation.replace_blocks(blocks)
    if isinstance(operation, IfElseOp | WhileLoopOp) and _is_never(operation.condition):
        operation = type(operation)(expr.lift(False), *blocks, label=operation.label)
    return item.replace(operation=operation, qubits=[*item.qubits, *others])


def _is_never(condition: Any) -> bool:
    """Whether a register would have to hold more than it can; Aer leaves the bits above out."""
    if not isinstance(condition, tuple) or not isinstance(condition[0], ClassicalRegister):
        return False
    register, value = condition
    return not 0 <= value < 2**register.size


def _name_last_bit(circuit: QuantumCircuit, qubit: Qubit) -> None:
    """Measure into the last bit in a block that is never entered."""
    last = circuit.clbits[-1:]
    body = QuantumCircuit([qubit], last)
    body.measure(0, 0)
    circuit.append(IfElseOp(expr.lift(False), body), [qubit], last)
