"""How many qubits a circuit declares, read without building it."""

import io
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm2, qasm3, qpy

from schemas.widths import Declared, declared, of_encoded, of_qpy, of_text, widest
from tests.support.circuits import BELL_2, BELL_3, encoded


@pytest.mark.parametrize(
    ("text", "qubits", "clbits"),
    [
        (BELL_2, 2, 2),
        (BELL_3, 2, 2),
        ("OPENQASM 2.0; qreg a[3]; qreg b [ 4 ] ; creg c\n[5];", 7, 5),
        ("OPENQASM 3.0; qubit q; qubit[3] r; bit c; bit[2] d = x;", 4, 3),
        ("OPENQASM 3.0; qreg q; qubit[1_000] r;", 1001, 0),
        ("OPENQASM 2.0; qreg q[100000000];", 100_000_000, 0),
        ("OPENQASM 2.0; qreg q[0003];", 3, 0),
        ("OPENQASM 3.0; // qubit[9] q;\n/* qubit[9] q; */ qubit q;", 1, 0),
        ('include "qubit[9] q;"; pragma qubit[9] q;\n@it qubit[9] q;\nqubit q;', 1, 0),
        ("OPENQASM 3.0; /* qubit[9] q;", 0, 0),
        ("OPENQASM 3.0; def f(qubit[3] a) { } qubit[2] q;", 2, 0),
        ("OPENQASM 3.0; const int n = 5; qubit[n] q; qubit[2*3] r; x $7;", 0, 0),
        ("OPENQASM 2.0; xqreg q[3]; myqubit[4] q;", 0, 0),
        ("", 0, 0),
    ],
)
def test_declarations_are_counted_and_nothing_else(text: str, qubits: int, clbits: int) -> None:
    assert of_text(text) == Declared(qubits, clbits)


def test_a_number_of_many_digits_is_large_and_no_trouble() -> None:
    assert of_text(f"qreg q[{'9' * 100_000}];").qubits >= 10**18


@pytest.mark.parametrize(
    "text",
    ["/*", '"', "'", "qreg ", "qubit[", "qubit\n", "@", "\n@", "//", "*/", "bit a", "qreg q[1"],
)
def test_a_hostile_text_costs_no_more_than_its_length(text: str) -> None:
    began = time.process_time()

    of_text(text * (2_000_000 // len(text)))

    assert time.process_time() - began < 10  # what grows with the square takes hours


@pytest.mark.parametrize("version", range(13, qpy.common.QPY_VERSION + 1))
def test_the_header_of_qpy_says_it(version: int) -> None:
    circuit = QuantumCircuit(7, 3, name="a name", metadata={"a": 1})
    circuit.h(0)
    file = io.BytesIO()
    qpy.dump(circuit, file, version=version)

    assert of_qpy(file.getvalue()) == Declared(7, 3, 1)


def test_what_is_no_qpy_of_one_circuit_says_little_or_nothing() -> None:
    two = io.BytesIO()
    qpy.dump([QuantumCircuit(2), QuantumCircuit(3)], two)
    whole = encoded(QuantumCircuit(7))["__value__"]

    assert of_qpy(two.getvalue()) == Declared(2)  # the first, at least
    for data in (b"", b"QISKIT", b"QISKIT\x0d", b"QISKIT\x10" + b"\xff" * 60, b"PNG" * 30):
        assert of_qpy(data) == Declared()
    for value in (None, 7, "", "not base64!", whole[:8], whole[:21]):
        assert of_encoded(value) == Declared()
    assert of_encoded(whole).qubits == 7


@pytest.mark.parametrize(
    ("circuits", "where", "qubits"),
    [
        (BELL_2, "the circuit", 2),
        ([BELL_2, "OPENQASM 3.0; qubit[5] q;"], "circuits[1]", 5),
        (encoded(QuantumCircuit(9)), "the circuit", 9),
        ({"__type__": "ndarray"}, "the circuit", 0),
        ([], "circuits", 0),
        (7, "the circuit", 0),
        ([["OPENQASM 3.0; qubit[4] q;", "ZZZZ", None]], "circuits[0]", 4),
        ([[], [[BELL_2]]], "circuits[0]", 0),
        ({"feature_dimension": 12}, "the circuit", 6),
    ],
)
def test_the_widest_is_named(circuits: Any, where: str, qubits: int) -> None:
    found = widest(circuits)

    assert (found.where, found.qubits) == (where, qubits)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 5))
def test_it_is_what_qiskit_finds(sizes: list[int], clbits: int) -> None:
    registers = "".join(f"qreg q{number}[{size}];" for number, size in enumerate(sizes))
    if clbits:
        registers += f"creg c[{clbits}];"
    for text, loads in (
        (f"OPENQASM 2.0; {registers}", qasm2.loads),
        (f"OPENQASM 3.0; {registers}", qasm3.loads),
    ):
        circuit = loads(text)
        for form in (text, encoded(circuit)):
            found = declared(form)
            assert (found.qubits, found.clbits) == (circuit.num_qubits, circuit.num_clbits)
