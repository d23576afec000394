"""Whether circuits have control flow, without building them."""

import base64
import io
import zlib
from typing import Any

import pytest
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Gate

from schemas.control_flow import first_with_flow, has_flow


def encoded(circuit: QuantumCircuit, version: int | None = None) -> dict[str, Any]:
    data = io.BytesIO()
    qpy.dump(circuit, data, **({"version": version} if version else {}))
    text = base64.standard_b64encode(zlib.compress(data.getvalue())).decode()
    return {"__type__": "QuantumCircuit", "__value__": text}


def circuit(kind: str) -> QuantumCircuit:
    made = QuantumCircuit(2, 2)
    made.measure(0, 0)
    match kind:
        case "if":
            with made.if_test((0, 1)):
                made.x(1)
        case "for":
            with made.for_loop(range(3)):
                made.x(1)
        case "while":
            with made.while_loop((made.clbits[0], 1)):
                made.measure(0, 0)
        case "switch":
            with made.switch(made.clbits[0]) as case, case(1):
                made.x(1)
    made.measure_all()
    return made


@pytest.mark.parametrize("version", [qpy.common.QPY_COMPATIBILITY_VERSION, qpy.common.QPY_VERSION])
@pytest.mark.parametrize("kind", ["none", "if", "for", "while", "switch"])
def test_control_flow_is_found_in_packed_circuits(kind: str, version: int) -> None:
    found = encoded(circuit(kind), version)

    assert has_flow(found) is has_flow([found, [0.5], 100]) is (kind != "none")


def test_what_is_only_called_like_control_flow_is_none() -> None:
    named = QuantumCircuit(1, name="IfElseOp", metadata={"WhileLoopOp": "SwitchCaseOp"})
    named.append(Gate("IfElseOp", 1, []), [0])
    named.append(Gate("x", 1, [], label="ForLoopOp"), [0])

    assert not has_flow(encoded(named))


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("OPENQASM 3.0; bit c; if (c) { }", True),
        ("OPENQASM 2.0; creg c[1]; if(c==1) x q[0];", True),
        ("OPENQASM 3.0; for int i in [0:3] { x q; }", True),
        ("OPENQASM 3.0; while (c) { }", True),
        ("OPENQASM 3.0; switch (i) { case 1 { } }", True),
        ("OPENQASM 3.0; // if\n/* for */ qubit[2] iff; bit format;", False),
        ('OPENQASM 3.0; include "if.inc"; pragma while\nqubit q;', False),
        ("", False),
    ],
)
def test_control_flow_is_found_in_text_but_not_in_what_it_only_mentions(
    text: str, has: bool
) -> None:
    assert has_flow(text) is has


def test_the_first_circuit_with_control_flow_is_told() -> None:
    assert first_with_flow(["qubit q;", "if (c) {}", "if (c) {}"], "pubs") == "pubs[1]"
    assert first_with_flow("if (c) {}") == "the circuit"
    assert first_with_flow(["qubit q;", None, 7, {}, [[]], {"__type__": "QuantumCircuit"}]) == ""


def test_what_unpacks_to_very_much_is_looked_at_up_to_a_multiple_of_its_size() -> None:
    bomb = zlib.compress(bytes(50_000_000) + b"\x00\x08" + bytes(31) + b"IfElseOp")
    text = base64.standard_b64encode(bomb).decode()

    assert not has_flow({"__type__": "QuantumCircuit", "__value__": text})
    assert not has_flow({"__type__": "QuantumCircuit", "__value__": text[:99] + "!"})
