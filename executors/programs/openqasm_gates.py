"""Gates of OpenQASM 3 as the language has them, where Qiskit has them in another way."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from openqasm3 import ast
from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.circuit.library import CUGate, U2Gate, U3Gate

from executors.gates import own_name

MOST_REPEATED = 100_000  # times that `pow` repeats a gate
MOST_QUBITS = 8  # of a gate that is raised to another power, by its matrix
CONTROLS = (ast.GateModifierName.ctrl, ast.GateModifierName.negctrl)


def ordered(
    modifiers: Sequence[Any], exponent: Callable[[Any], float]
) -> tuple[int, list[Any], list[Any]]:
    """The whole power to which *modifiers* raise a gate in the end, their controls, and the others.

    Controls commute with `inv` and `pow`, and so come between the others and that power: Qiskit
    inverts some gates only without a control, and a gate that is not repeated yet is the smaller.
    """
    controls = [each for each in modifiers if each.modifier in CONTROLS]
    others = [each for each in modifiers if each.modifier not in CONTROLS]
    times = 1
    while others and exponent(others[0]).is_integer():
        times *= int(exponent(others.pop(0)))
    return times, controls, others


def pow_by(times: int, node: Any) -> Any:
    """The modifier `pow(times)`, which stands where *node* does."""
    made = ast.QuantumGateModifier(ast.GateModifierName.pow, ast.IntegerLiteral(times))
    made.span = node.span
    return made


def is_repeated(times: float) -> bool:
    """Whether a gate to that power is so many of it, one after the other."""
    return float(times).is_integer() and 0 <= times <= MOST_REPEATED


def power(gate: Gate, exponent: float) -> Gate:
    """*gate* to that power; raises `ValueError`, which says why, if it can not be had."""
    if type(gate).power is not Gate.power:  # such as a rotation, which turns by so much
        return gate.power(exponent)
    if is_repeated(exponent):
        made = Gate(own_name(gate.name), gate.num_qubits, list(gate.params))
        made.definition = QuantumCircuit(gate.num_qubits)
        for _ in range(int(exponent)):
            made.definition.append(gate, range(gate.num_qubits), copy=False)
        return made
    name = f"pow({exponent:.12g})"
    rule = f"a gate is raised to whole numbers up to {MOST_REPEATED:,}, to others only"
    if any(getattr(angle, "parameters", ()) for angle in gate.params):
        raise ValueError(f"{name}: {rule} if its angles are known")
    if gate.num_qubits > MOST_QUBITS:
        raise ValueError(f"{name} on {gate.num_qubits} qubits: {rule} up to {MOST_QUBITS} qubits")
    return gate.power(exponent)


def _as_a_definition(kind: type[Gate], phase: Callable[..., Any]) -> Callable[..., Gate]:
    """Builds *kind* as a gate that is known by its definition alone, with that global phase."""

    def build(*angles: Any) -> Gate:
        inner = kind(*angles)
        made = Gate(own_name(inner.name), inner.num_qubits, list(angles))
        made.definition = QuantumCircuit(inner.num_qubits, global_phase=phase(*angles))
        made.definition.append(inner, range(inner.num_qubits))
        return made

    return build


# By name: `cu`, which Qiskit inverts wrongly once it is controlled, and what has another phase.
STANDARD: Mapping[str, Callable[..., Gate]] = {
    "cu": _as_a_definition(CUGate, lambda *_: 0),
    "u2": _as_a_definition(U2Gate, lambda phi, lam: -(phi + lam) / 2),
    "u3": _as_a_definition(U3Gate, lambda _, phi, lam: -(phi + lam) / 2),
}
