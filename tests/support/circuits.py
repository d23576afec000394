"""Circuits for tests, as text; what needs Qiskit imports it where it is used."""

import base64
import io
import json
import zlib
from typing import Any

BELL_2 = (
    'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2]; h q[0]; cx q[0],q[1]; measure q->c;'
)
BELL_3 = (
    "// a Bell pair\n"
    'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;'
)


def large(qubits: int = 22, depth: int = 400) -> str:
    """A circuit that keeps Aer busy for a minute and more."""
    lines = ["OPENQASM 2.0;", 'include "qelib1.inc";', f"qreg q[{qubits}];", f"creg c[{qubits}];"]
    for layer in range(depth):
        lines += [f"u3({layer + 1}.1,0.2,{qubit}.3) q[{qubit}];" for qubit in range(qubits)]
        lines += [f"cx q[{qubit}],q[{(qubit + 1) % qubits}];" for qubit in range(qubits)]
    return "\n".join([*lines, "measure q -> c;"])


def encoded(circuit: Any) -> dict[str, str]:
    """*circuit* in the Runtime encoding."""
    from qiskit import qpy

    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
    text = base64.b64encode(zlib.compress(buffer.getvalue())).decode()
    return {"__type__": "QuantumCircuit", "__value__": text}


def bell_encoded() -> dict[str, str]:
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    found: dict[str, str] = json.loads(json.dumps(encoded(circuit)))
    return found
