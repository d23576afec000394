"""Methods that circuits had, by other names or in other places today."""

from collections.abc import Callable
from typing import Any

from qiskit import QuantumCircuit, qasm2
from qiskit.circuit import InstructionSet


def _renamed(name: str) -> Callable[..., Any]:
    return lambda circuit, *args, **options: getattr(circuit, name)(*args, **options)


def _qasm(circuit: QuantumCircuit, formatted: bool = False, filename: Any = None) -> str | None:
    text: str = qasm2.dumps(circuit)
    if filename is not None:
        qasm2.dump(circuit, filename)
    if formatted:
        print(text)  # noqa: T201  as it did
        return None
    return text


def _u2(circuit: QuantumCircuit, phi: Any, lam: Any, qubit: Any) -> Any:
    return circuit.u(_QUARTER, phi, lam, qubit)


def _cu3(circuit: QuantumCircuit, *args: Any, **options: Any) -> Any:
    theta, phi, lam, *qubits = args
    return circuit.cu(theta, phi, lam, 0, *qubits, **options)


_QUARTER = 1.5707963267948966  # π / 2
_METHODS: dict[str, Callable[..., Any]] = {
    "bind_parameters": _renamed("assign_parameters"),
    "cnot": _renamed("cx"),
    "cu1": _renamed("cp"),
    "cu3": _cu3,
    "fredkin": _renamed("cswap"),
    "i": _renamed("id"),
    "mct": _renamed("mcx"),
    "qasm": _qasm,
    "toffoli": _renamed("ccx"),
    "u1": _renamed("p"),
    "u2": _u2,
    "u3": _renamed("u"),
}


def _c_if(*_: Any) -> None:
    raise TypeError("c_if is gone from Qiskit: with circuit.if_test((register, value)): …")


def add_methods() -> None:
    """Give circuits, in all this process, the methods that they had."""
    InstructionSet.c_if = _c_if
    for name, method in _METHODS.items():
        if not hasattr(QuantumCircuit, name):
            setattr(QuantumCircuit, name, method)
