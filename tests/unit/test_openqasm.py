"""OpenQASM texts, read: what they define is what counts."""

from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import CUGate, SXGate, UGate
from qiskit.quantum_info import Operator, Statevector

from executors.faults import InvalidInputsError
from executors.programs import openqasm
from executors.programs.circuits import read_circuit, read_circuits
from executors.programs.openqasm import hardware_qubits

QASM_2 = 'OPENQASM 2.0; include "qelib1.inc"; '
QASM_3 = 'OPENQASM 3.0; include "stdgates.inc"; '


def read(text: str) -> QuantumCircuit:
    return read_circuit(text, "circuits[0]")


def outcome(text: str) -> str:
    """What is measured for sure, if it is for sure."""
    circuit = read(text)
    circuit.remove_final_measurements()
    ((bits, share),) = Statevector(circuit).probabilities_dict(decimals=9).items()
    assert share == pytest.approx(1)
    return str(bits)


@pytest.mark.parametrize(
    "text",
    [
        QASM_2 + "gate swap a, b { id a; id b; } qreg q[2]; x q[0]; swap q[0], q[1];",
        QASM_2 + "gate // mine\n swap a, b { id a; } qreg q[2]; x q[0]; swap q[0], q[1];",
        QASM_2 + "gate iswap a, b { x a; } qreg q[2]; iswap q[0], q[1];",
        QASM_2 + "gate r(t, u) a { rx(t) a; } qreg q[2]; r(pi, 1) q[0];",
        QASM_2 + "gate p(t) a { x a; } qreg q[2]; p(0.1) q[0];",
        QASM_2 + "gate initialize a { x a; } qreg q[2]; initialize q[0];",
        "OPENQASM 2.0; gate h a { U(pi, 0, pi) a; } qreg q[2]; h q[0];",
        QASM_3 + "gate ccz a, b, c { x a; } qubit[3] q; ccz q[0], q[1], q[2]; x q[2]; x q[2];",
        QASM_3 + "gate kraus a { x a; } gate mcx a { kraus a; } qubit[2] q; mcx q[0];",
        "OPENQASM 3.0; gate p(t) a { U(pi, 0, pi) a; } qubit[2] q; p(0.1) q[0];",
        "OPENQASM 3.0; gate z a { U(pi, 0, pi) a; } qubit[2] q; z q[1]; ctrl @ z q[1], q[0]; z q[1];",
        QASM_3 + "gate y2 a { x a; } qubit[2] q; negctrl @ y2 q[1], q[0];",
        "OPENQASM 3.0; gate t a { U(pi, 0, pi) a; } qubit[2] q; inv @ t q[0];",
        "OPENQASM 3.0; gate id a { U(pi, 0, pi) a; } qubit[2] q; pow(3) @ id q[0];",
    ],
)
def test_a_gates_definition_in_the_text_is_what_runs(text: str) -> None:
    assert outcome(text).endswith("01")


def test_a_gate_of_qelib1_that_is_defined_again_is_refused() -> None:
    with pytest.raises(InvalidInputsError, match="'h' is already defined"):
        read(QASM_2 + "gate h a { x a; } qreg q[1]; h q[0];")


def test_cu_takes_four_angles_or_as_many_as_the_text_gives_it() -> None:
    four = read(QASM_2 + "qreg q[2]; cu(0.1, 0.2, 0.3, 0.4) q[0], q[1];")
    three = (
        QASM_2 + "gate cu(a, b, l) x, y { cu3(a, b, l) x, y; } qreg q[2]; cu(pi, 0, pi) q[0], q[1];"
    )

    assert Operator(four) == Operator(CUGate(0.1, 0.2, 0.3, 0.4))
    assert read(three).count_ops() == {"cu3": 1}


def test_u0_waits_as_often_as_it_says_but_not_for_ever() -> None:
    assert read(QASM_2 + "qreg q[1]; u0(3) q[0];").count_ops() == {"id": 3}
    with pytest.raises(InvalidInputsError, match="u0 takes"):
        read(QASM_2 + "qreg q[1]; u0(1000000000) q[0];")


@pytest.mark.parametrize("language", [QASM_2 + "qreg q[1]; ", QASM_3 + "qubit[1] q; "])
def test_a_byte_order_mark_before_a_text_is_no_part_of_it(language: str) -> None:
    assert read("\ufeff" + language + "x q[0];").count_ops() == {"x": 1}


@pytest.mark.parametrize("text", ["", "  \n// nothing\n"])
def test_an_empty_text_is_told(text: str) -> None:
    with pytest.raises(InvalidInputsError, match=r"circuits\[0\] is empty"):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        QASM_2 + "qreg q[1]; rx(1e400) q[0];",
        QASM_2 + "qreg q[1]; rx(1e400 - 1e400) q[0];",
        QASM_2 + "qreg q[1]; rx(ln(0)) q[0];",
        QASM_2 + "qreg q[1]; rx(sqrt(0-1)) q[0];",
        QASM_2 + "gate f(t) a { rx(t * 1e300) a; } qreg q[1]; f(1e300) q[0];",
        QASM_3 + "qubit[1] q; rx(1e400) q[0];",
        QASM_3 + "gate f(t) a { rx(t * 1e300) a; } qubit[1] q; f(1e300) q[0];",
        QASM_3 + "qubit[1] q; bit c; if (c) { rx(1e400) q[0]; }",
        QASM_3 + "qubit[1] q; gphase(1e400);",
        QASM_3 + "qubit[1] q; delay[1e400 ns] q[0];",
        QASM_3 + "qubit[1] q; rx(1 / 0) q[0];",
    ],
)
def test_an_angle_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputsError, match=r"^circuits\[0\]"):
        read(text)


def test_hardware_qubits_keep_their_numbers() -> None:
    circuit = read(QASM_3 + "bit c; x $4; if (c) { x $6; } cx $0, $4;")

    assert hardware_qubits(circuit) == [0, 4, 6]
    assert circuit.num_qubits == 7
    assert [circuit.find_bit(qubit).index for qubit in circuit.data[-1].qubits] == [0, 4]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (QASM_3 + "x $99999999999999;", "no backend has a hardware qubit"),
        (QASM_3 + "qubit q; x $1;", "Mixing modes not currently supported"),
    ],
)
def test_hardware_qubits_that_can_not_be_are_refused(text: str, told: str) -> None:
    with pytest.raises(InvalidInputsError, match=told):
        read(text)


def test_several_circuits_of_one_file_stand_in_the_list_one_by_one() -> None:
    one, two, three = (QuantumCircuit(1, name=name) for name in ("one", "two", "three"))

    assert [found.name for found in read_circuits([one, [two, three]])] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ("[0:99999999999999999999999]", "a loop counts beyond"),
        ("[0:1000000000000]", "unrolls to more than"),
        ("{1, 99999999999999999999999}", "a loop counts beyond"),
        ("[0:0:3]", "circuits"),
    ],
)
def test_endless_loops_are_refused_before_they_are_written_out(values: str, told: str) -> None:
    with pytest.raises(InvalidInputsError, match=told):
        read(QASM_3 + f"qubit q; for int i in {values} {{ x q; }}")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("if (c + 1 == 2) { x q; }", "type error"),
        ("if (q && c[0]) { x q; }", "can not have a value of type 'qubit'"),
        ("if (c < -1) { x q; }", "no values below 0"),
        ("if (c < 9) { x q; }", "wider than the other operand"),
        ("switch (c) { case 9 { x q; } }", "larger than the maximum"),
        ("switch (c[0] && c[1]) { case 1 { x q; } }", "unsupported binary operation"),
        (f"if ({'!' * 3000} c[0] && c[1]) {{ x q; }}", "nested too deeply"),
    ],
)
def test_conditions_that_can_not_be_are_told(statement: str, told: str) -> None:
    with pytest.raises(InvalidInputsError, match=told):
        read(QASM_3 + "qubit q; bit[2] c; " + statement)


def test_a_short_text_that_unrolls_to_much_is_not_kept() -> None:
    doubled = "".join(f"gate g{n} a {{ g{n - 1} a; g{n - 1} a; }} " for n in range(1, 15))
    text = QASM_2 + f"gate g0 a {{ x a; }} {doubled} qreg q[1]; g14 q[0];"
    small = QASM_2 + "qreg q[1]; x q[0];"

    assert [len(read(each).data) for each in (small, text)] == [1, 2**14]
    assert (small, 2) in openqasm._kept_circuits
    assert (text, 2) not in openqasm._kept_circuits


@pytest.mark.parametrize(
    ("statements", "flipped"),
    [
        ("x q[-2:-1];", "11000"),
        ("x q[1:-1:0];", "00011"),
        ("x q[4:-2:0];", "10101"),
        ("x q[0:-1];", "11111"),
        ("x q; reset q[0:-1];", "00000"),
        ("let last = q[-4:-1]; x last;", "11110"),
        ("x q[3:]; x q[:0]; x q[-3];", "11101"),
        ("x q[{0, -1}];", "10001"),
        ("x q[0:3:4];", "01001"),
    ],
)
def test_a_range_of_indices_has_both_its_ends(statements: str, flipped: str) -> None:
    circuit = read(QASM_3 + f"qubit[5] q; {statements}")
    bits = ["0"] * 5
    for item in circuit.data:
        place = circuit.find_bit(item.qubits[0]).index
        bits[place] = "1" if item.name == "x" else "0"

    assert "".join(reversed(bits)) == flipped


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("x q[0:5];", r"2,2: 'q\[0:5\]' goes beyond the 3 that there are"),
        ("x q[-4:-1];", "goes beyond the 3"),
        ("x q[0:1000000000000];", "goes beyond the 3"),
        ("x q[2:1];", r"'q\[2:1\]' selects nothing"),
        ("x q[{0, 3}];", "goes beyond the 3"),
        ("x q[3];", r"'q\[3\]' goes beyond the 3"),
        ("x q[0:0:2];", "'0:0:2' has step 0"),
        ("x q[0.5:1];", "a range takes whole numbers"),
        ("for int i in [0:2] { x q[i]; }", r"2,23: an index must be a constant: 'q\[i\]'"),
        ("for int i in [1:0:3] { x q[0]; }", "'1:0:3' has step 0"),
        ("for bit b in c { x q[0]; }", "2,13: a loop takes a range"),
        ("if (c == -1) { x q[0]; }", "no values below 0"),
    ],
)
def test_indices_and_loops_that_can_not_be_are_told_with_their_place(
    statement: str, told: str
) -> None:
    with pytest.raises(InvalidInputsError, match=told):
        read(QASM_3 + "qubit[3] q; bit[3] c;\n" + statement)


CU = np.exp(0.4j) * UGate(0.1, 0.2, 0.3).to_matrix()
U3 = np.exp(-0.25j) * UGate(0.1, 0.2, 0.3).to_matrix()
U2 = np.exp(-0.25j) * UGate(np.pi / 2, 0.2, 0.3).to_matrix()


def controlled(matrix: Any, value: int = 1) -> Any:
    """*matrix* on the second of two qubits where the first one, the lower bit, is *value*."""
    on, off = np.diag([1 - value, value]), np.diag([value, 1 - value])
    return np.kron(np.eye(len(matrix)), off) + np.kron(matrix, on)


@pytest.mark.parametrize(
    ("text", "matrix"),
    [
        ("inv @ ctrl @ cu(0.1, 0.2, 0.3, 0.4)", controlled(controlled(CU).conj().T)),
        ("ctrl @ inv @ cu(0.1, 0.2, 0.3, 0.4)", controlled(controlled(CU).conj().T)),
        ("inv @ negctrl @ cu(0.1, 0.2, 0.3, 0.4)", controlled(controlled(CU).conj().T, 0)),
        ("inv @ foo", controlled(controlled(CU).conj().T)),
        ("pow(-1) @ foo", controlled(controlled(CU).conj().T)),
        ("ctrl @ u3(0.1, 0.2, 0.3)", controlled(U3)),
        ("negctrl @ u2(0.2, 0.3)", controlled(U2, 0)),
        ("inv @ ctrl @ u3(0.1, 0.2, 0.3)", controlled(U3.conj().T)),
        ("ctrl @ pow(2) @ u3(0.1, 0.2, 0.3)", controlled(U3 @ U3)),
        ("pow(2) @ ctrl @ u3(0.1, 0.2, 0.3)", controlled(U3 @ U3)),
        ("u3(0.1, 0.2, 0.3)", U3),
        ("inv @ ctrl @ pow(0.5) @ x", controlled(SXGate().to_matrix().conj().T)),
        ("ctrl @ inv @ negctrl @ s", controlled(controlled(np.diag([1, -1j]), 0))),
    ],
)
def test_modified_gates_are_what_the_language_says(text: str, matrix: Any) -> None:
    width = int(np.log2(len(matrix)))
    qubits = ", ".join(f"q[{number}]" for number in range(width))
    foo = "gate foo a, b, c { ctrl @ cu(0.1, 0.2, 0.3, 0.4) a, b, c; } "

    circuit = read(QASM_3 + foo + f"qubit[{width}] q; {text} {qubits};")

    assert np.allclose(Operator(circuit).data, matrix)


@pytest.mark.parametrize("number", ["-1", "0", "2"])
def test_a_number_of_controls_that_can_not_be_is_told_as_it_stands(number: str) -> None:
    with pytest.raises(InvalidInputsError, match=rf"2,0: ctrl\({number}\) on 2 qubits"):
        read(QASM_3 + f"qubit[2] q;\nctrl({number}) @ x q[0], q[1];")


ON_40 = ", ".join(f"q[{number}]" for number in range(40))
WIDE = "gate foo(t) a, b, " + ", ".join(f"a{n}" for n in range(38)) + " { rx(t) a; h b; cx a, b; } "


@pytest.mark.parametrize(
    ("modifiers", "operations"),
    [
        ("pow(2) @", {"rx": 2, "h": 2, "cx": 2}),
        ("pow(-1) @", {"rx": 1, "h": 1, "cx": 1}),
        ("inv @ pow(3) @", {"rx": 3, "h": 3, "cx": 3}),
        ("pow(2.0) @ pow(2) @", {"rx": 4, "h": 4, "cx": 4}),
        ("pow(0) @", {}),
    ],
)
def test_a_gate_to_a_whole_power_is_repeated_however_wide_and_with_inputs(
    modifiers: str, operations: dict[str, int]
) -> None:
    circuit = read(QASM_3 + f"input float w; {WIDE} qubit[40] q; {modifiers} foo(w) {ON_40};")

    assert circuit.count_ops() == operations
    assert [found.name for found in circuit.parameters] == ["w"] * bool(operations)


def test_powers_bind_what_a_gate_is_given_and_undo_each_other() -> None:
    text = QASM_3 + (
        "gate foo(t) a { rx(t) a; h a; } gate bar(t) a { pow(3) @ foo(t) a; } qubit q; "
        "bar(0.3) q; pow(-3) @ foo(0.3) q; pow(0.5) @ foo(0.3) q; pow(0.5) @ foo(0.3) q; "
        "inv @ foo(0.3) q;"
    )

    assert np.allclose(Operator(read(text)).data, np.eye(2))


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("pow(0.5) @ foo(0.1) ON;", "2,0: pow.0.5. on 40 qubits: .* up to 8 qubits"),
        ("pow(0.5) @ small(w) q[0];", "2,0: pow.0.5.: .* if its angles are known"),
        ("pow(1000000) @ foo(0.1) ON;", "2,0: pow.1000000. on 40 qubits: .* up to 100,000"),
        ("pow(100000) @ h q;", "2,0: it unrolls to more than 1,000,000 instructions"),
        ("pow(1e400) @ h q[0];", "2,4: pow takes a finite number"),
    ],
)
def test_a_power_that_can_not_be_is_told(statement: str, told: str) -> None:
    text = QASM_3 + WIDE + "gate small(t) a { rx(t) a; h a; } input float w; qubit[40] q;\n"

    with pytest.raises(InvalidInputsError, match=told):
        read(text + statement.replace("ON", ON_40))


def test_powers_count_among_the_gates_that_gates_unroll_to() -> None:
    gates = "gate g0 a { x a; } " + "".join(
        f"gate g{n} a {{ pow(1000) @ g{n - 1} a; }} " for n in (1, 2, 3)
    )

    with pytest.raises(InvalidInputsError, match="unroll to more than 100,000 gates"):
        read(QASM_3 + gates + "qubit q; inv @ g3 q;")
