"""Gates of OpenQASM 3 as the language has them, where Qiskit has them in another way."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from openqasm3 import ast
from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.circuit.library import CUGate, U2Gate, U3Gate

from executors.gates import own_name

CONTROLS = (ast.GateModifierName.ctrl, ast.GateModifierName.negctrl)


def controls_last(modifiers: Sequence[Any]) -> list[Any]:
    """*modifiers*, the last of which is applied first, so that controls come to what is inverted.

    A control changes nothing in what `inv` and `pow` do, and Qiskit inverts some gates only without.
    """
    is_control = [modifier.modifier in CONTROLS for modifier in modifiers]
    paired = list(zip(modifiers, is_control, strict=True))
    return [each for each, is_one in paired if is_one] + [
        each for each, is_one in paired if not is_one
    ]


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
