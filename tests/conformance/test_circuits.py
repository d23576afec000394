"""What circuits mean, on every backend: the same inputs, and the outcome that is right."""

from types import SimpleNamespace
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Instruction
from qiskit.circuit.classical import expr, types
from qiskit.circuit.library import CSwapGate

from executors import runtime_json
from executors.backends import catalogue
from executors.faults import InvalidInputsError
from executors.programs import builtin
from tests.support.circuits import encoded

QASM_2 = 'OPENQASM 2.0; include "qelib1.inc"; '
QASM_3 = 'OPENQASM 3.0; include "stdgates.inc"; '
BACKENDS = ("aer_simulator", "fake_line_5", "fake_heavy_hex_19", "fake_heavy_hex_57")
DEVICES = BACKENDS[1:]
SHOTS = 400


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(program: str, backend: str, circuits: Any, **inputs: Any) -> Any:
    decoded = runtime_json.decode({"circuits": circuits, **inputs}, "inputs")
    return builtin.load(program).main(catalogue.backend(backend), None, **decoded)


def most_often(backend: str, circuits: Any, **config: Any) -> str:
    """The outcome that (nearly) every shot has."""
    asked = {"shots": SHOTS, "seed_simulator": 1, **config}
    (counts,) = run("sampler", backend, circuits, run_config=asked)["raw_counts"]
    ((bits, times), *_) = sorted(counts.items(), key=lambda pair: -pair[1])
    assert times > 0.93 * SHOTS, counts
    return str(bits)


def own_in_qpy(name: str, kind: type[Instruction]) -> dict[str, str]:
    definition = QuantumCircuit(2)
    definition.x(0)
    made = Gate(name, 2, []) if kind is Gate else Instruction(name, 2, 0, [])
    made.definition = definition
    circuit = QuantumCircuit(2, 2)
    circuit.append(made, [0, 1])
    circuit.measure([0, 1], [0, 1])
    return encoded(circuit)


# Names of gates of Qiskit, of Aer, and of what is neither
NAMES = ["dcx", "iswap", "rzx", "ryy", "cs", "diagonal", "kraus", "pauli", "unitary", "multiplexer"]
NAMES += [
    "initialize",
    "save_state",
    "set_statevector",
    "roerror",
    "mcx",
    "mark",
    "jump",
    "clifford",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_gate_does_what_its_definition_says(backend: str, name: str) -> None:
    gate = f"gate {name} a, b {{ x a; }} "
    two = QASM_2 + gate + f"qreg q[2]; creg c[2]; {name} q[0], q[1]; measure q -> c;"
    three = QASM_3 + gate + f"qubit[2] q; bit[2] c; {name} q[0], q[1]; c = measure q;"

    for form in (two, three, own_in_qpy(name, Gate), own_in_qpy(name, Instruction)):
        assert most_often(backend, form) == "01"


def test_a_gate_inside_a_block_does_what_its_definition_says(backend: str) -> None:
    text = QASM_3 + (
        "gate dcx a, b { x a; } gate ecr a, b { dcx a, b; } qubit[2] q; bit[2] c; bit d; "
        "x q[1]; d = measure q[1]; if (d) { ecr q[0], q[1]; } c = measure q;"
    )

    assert most_often(backend, text) == "1 11"


def test_without_transpilation_a_definition_counts_as_well(backend: str) -> None:
    text = QASM_2 + "gate cz a, b { x a; } qreg q[2]; creg c[2]; cz q[0], q[1]; measure q -> c;"
    text = text.replace('include "qelib1.inc"; ', "").replace("x a", "U(pi, 0, pi) a")
    inputs = {"skip_transpilation": True, "run_config": {"shots": 10}}

    if backend == "aer_simulator":
        assert run("sampler", backend, text, **inputs)["raw_counts"] == [{"01": 10}]
    else:
        with pytest.raises(InvalidInputsError, match="does not offer"):
            run("sampler", backend, text, **inputs)


FLIPPED = [
    # OpenQASM 2: a register's value, and a register of two bits
    QASM_2 + "qreg q[2]; creg c[1]; creg d[1]; x q[0]; measure q[0] -> c[0]; if (c == 1) x q[1]; "
    "measure q[1] -> d[0];",
    QASM_3 + "qubit[2] q; bit c; bit d; x q[0]; c = measure q[0]; if (c) { x q[1]; } "
    "d = measure q[1];",
    QASM_3 + "qubit[2] q; bit c; bit d; x q[0]; c = measure q[0]; if (!c) { h q[1]; } else "
    "{ x q[1]; } d = measure q[1];",
    QASM_3 + "qubit[2] q; bit c; bit d; x q[0]; for uint i in [0:2] { x q[1]; } c = measure q[0]; "
    "d = measure q[1];",
    QASM_3 + "qubit[2] q; bit c; bit d; box { x q[0]; box { x q[1]; } } c = measure q[0]; "
    "d = measure q[1];",
    QASM_3 + "qubit[2] q; bit c; bit d; c = measure q[0]; while (!c) { x q[0]; x q[1]; "
    "c = measure q[0]; } d = measure q[1];",
    QASM_3 + "qubit[2] q; bit c; bit d; x q[0]; c = measure q[0]; for int i in {0, 1, 2} { x q[1]; "
    "if (c) { break; } } d = measure q[1];",
    QASM_3 + "qubit[2] q; bit c; bit d; x q[0]; c = measure q[0]; reset q[0]; reset q[1]; "
    "if (c) { if (c) { x q[1]; } } d = measure q[1];",
]


FLIPPED += [  # a register of one bit is never 3
    QASM_2 + "qreg q[2]; creg c[1]; creg d[1]; x q; measure q[0] -> c[0]; if (c == 3) x q[1]; "
    "measure q[1] -> d[0];",
    QASM_3 + "qubit[2] q; bit[1] c; bit d; x q; c[0] = measure q[0]; if (c == 3) { x q[1]; } "
    "while (c == 5) { x q[0]; } d = measure q[1];",
]
BEFORE = "qubit[2] q; bit[2] c; bit d; x q[0]; c[0] = measure q[0]; "
FLIPPED += [
    QASM_3 + BEFORE + condition + " reset q[0]; c = measure q;"
    for condition in (
        "if (c[0] && !c[1]) { x q[1]; }",
        "if (c[1] || c[0] == 1) { x q[1]; }",
        "if (c != 0) { x q[1]; }",
        "if (c < 2 && (c >= 1)) { x q[1]; }",
        "if (c[0:1] == 1 && true) { x q[1]; }",
        "if ((c & 1) == 1) { x q[1]; }",
        "while (c != 2) { x q[1]; c[1] = measure q[1]; reset q[0]; c[0] = measure q[0]; }",
        "switch (c) { case 0, 2 { h q[1]; } case 1 { x q[1]; } }",
        "switch (c[1]) { case 1 { h q[1]; } default { x q[1]; } }",
    )
]


@pytest.mark.parametrize("text", FLIPPED)
def test_control_flow_runs(backend: str, text: str) -> None:
    assert most_often(backend, text).replace(" ", "") in ("11", "010")


def switching() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.switch(circuit.clbits[0]) as case:
        with case(0):
            circuit.h(1)
        with case(case.DEFAULT):
            circuit.x(1)
    circuit.measure(1, 1)
    return circuit


def test_a_switch_runs(backend: str) -> None:
    assert most_often(backend, encoded(switching())) == "11"


@pytest.mark.parametrize(
    ("declared", "outcome"),
    [
        ("bit[2] c; bit d; bit e;", "0 1 10"),
        ("bit d0; bit d1; bit[2] c; let d = c[0:1];", "10 0 0"),
        ("bit[4] c; let e = c[1:2]; let f = c[0:3];", "0110"),
    ],
)
def test_outcomes_have_every_bit_once(backend: str, declared: str, outcome: str) -> None:
    names = {"0 1 10": "c[1] d", "10 0 0": "c[1]", "0110": "c[1] c[2]"}[outcome].split()
    measured = " ".join(f"{name} = measure q;" for name in names)

    text = QASM_3 + f"qubit q; {declared} x q; {measured}"

    assert most_often(backend, text) == outcome


def test_noise_acts_inside_a_block() -> None:
    flips = "x q[0]; " * 200
    text = QASM_3 + f"qubit[2] q; bit c; x q[1]; bit d; d = measure q[1]; if (d) {{ {flips} }} "
    (counts,) = run(
        "sampler",
        "fake_line_5",
        text + "c = measure q[0];",
        transpiler_config={"optimization_level": 0, "initial_layout": [0, 1]},
        run_config={"shots": 4000, "seed_simulator": 1},
    )["raw_counts"]

    assert sum(times for bits, times in counts.items() if bits[0] == "1") > 40


@pytest.mark.parametrize("device", DEVICES)
def test_hardware_qubits_stay_where_they_are(device: str) -> None:
    coupled = QASM_3 + "bit[2] c; x $3; cx $3, $4; c[0] = measure $3; c[1] = measure $4;"
    apart = QASM_3 + "bit[2] c; x $0; cx $0, $4; c[0] = measure $0; c[1] = measure $4;"

    near, far = run("circuit-runner", device, [coupled.replace("cx $3, $4", "x $4"), apart])[
        "results"
    ]

    assert near["metadata"]["active_input_qubits"] == [3, 4]
    assert {0, 4} <= set(far["metadata"]["active_input_qubits"])
    assert far["data"]["counts"]["0x3"] > 0.9 * 1024
    assert near["header"]["metadata"]["hardware_qubits"] == [3, 4]


def test_hardware_qubits_are_plain_numbers_on_the_ideal_simulator() -> None:
    text = QASM_3 + "bit c; x $4; c = measure $4;"

    (result,) = run("circuit-runner", "aer_simulator", text, shots=10)["results"]

    assert result["data"]["counts"] == {"0x1": 10}
    assert result["metadata"]["active_input_qubits"] == [4]


def test_hardware_qubits_that_can_not_be_are_refused() -> None:
    far = QASM_3 + "bit c; x $99; c = measure $99;"
    with pytest.raises(InvalidInputsError, match=r"hardware qubit \$99, fake_line_5 has 5"):
        run("sampler", "fake_line_5", far)
    placed = {"transpiler_config": {"initial_layout": [4, 3, 2, 1]}}
    with pytest.raises(InvalidInputsError, match=r"names hardware qubits \(\$3\)"):
        run("sampler", "fake_line_5", far.replace("99", "3"), **placed)


STATE = QASM_3 + "input float a; input float x0; ry(a) $3; rz(x0) $3;"
PREPARING: list[tuple[str, dict[str, Any]]] = [
    ("vqe", {"ansatz": STATE, "operator": "ZIII", "initial_layout": [4, 2, 1, 0]}),
    (
        "quantum-kernel-alignment",
        {
            "feature_map": STATE,
            "data": [[0.1], [1.5]],
            "labels": [1, -1],
            "initial_layout": [4, 2, 1, 0],
        },
    ),
    (
        "estimator",
        {
            "circuits": [STATE],
            "observables": ["ZIII"],
            "parameter_values": [[0, 0]],
            "transpilation_settings": {"initial_layout": [4, 2, 1, 0]},
        },
    ),
]


@pytest.mark.parametrize(("program", "inputs"), PREPARING, ids=[name for name, _ in PREPARING])
def test_hardware_qubits_of_a_state_stay_where_they_are(
    program: str, inputs: dict[str, Any]
) -> None:
    heard = SimpleNamespace(publish=[].append)

    with pytest.raises(InvalidInputsError, match=r"names hardware qubits \(\$3\)"):
        builtin.load(program).main(catalogue.backend("fake_line_5"), heard, **inputs)


def test_a_label_does_not_switch_noise_off() -> None:
    from qiskit.circuit.library import XGate

    circuit = QuantumCircuit(1, 1)
    for _ in range(400):
        circuit.append(XGate(label="silent"), [0])
    circuit.measure(0, 0)

    asked = {"skip_transpilation": True, "run_config": {"shots": 4000, "seed_simulator": 1}}
    (counts,) = run("sampler", "fake_line_5", encoded(circuit), **asked)["raw_counts"]

    assert counts["1"] > 40


def test_a_gate_without_a_definition_is_refused_by_name(backend: str) -> None:
    text = QASM_2 + "opaque foo a; qreg q[1]; creg c[1]; foo q[0]; measure q -> c;"

    with pytest.raises(InvalidInputsError, match=r"circuits\[0\]: gate 'foo' has no definition"):
        run("sampler", backend, [text])


def test_a_variable_is_refused_by_name(backend: str) -> None:
    circuit = QuantumCircuit(1, 1)
    with circuit.if_test((circuit.clbits[0], True)):
        circuit.add_var("count", expr.lift(5, types.Uint(8)))
    circuit.measure(0, 0)

    with pytest.raises(InvalidInputsError, match="a classical variable, 'count'"):
        run("sampler", backend, encoded(circuit))


def test_an_assignment_to_classical_bits_is_refused(backend: str) -> None:
    circuit = QuantumCircuit(1, 2)
    circuit.measure(0, 0)
    circuit.store(circuit.clbits[1], expr.lift(True))

    with pytest.raises(InvalidInputsError, match="an assignment to classical bits"):
        run("sampler", backend, encoded(circuit))


@pytest.mark.parametrize(
    "condition",
    [
        lambda circuit: expr.equal(expr.add(circuit.cregs[0], 1), 2),
        lambda circuit: expr.index(circuit.cregs[0], 0),
        lambda circuit: expr.logic_not(expr.less(expr.lift(0.5), expr.lift(0.7))),
    ],
)
def test_a_condition_that_aer_does_not_evaluate_is_refused(backend: str, condition: Any) -> None:
    circuit = QuantumCircuit(1, 2)
    circuit.measure(0, 0)
    with circuit.if_test(condition(circuit)):
        circuit.x(0)

    with pytest.raises(InvalidInputsError, match="a condition with other operators"):
        run("sampler", backend, encoded(circuit))


def test_measurement_mitigation_of_control_flow_is_refused() -> None:
    with pytest.raises(InvalidInputsError, match=r"circuits\[0\] has control flow"):
        run("sampler", "fake_line_5", FLIPPED[1], use_measurement_mitigation=True)


@pytest.mark.parametrize("skipped", [False, True])
def test_a_swap_where_a_qubit_is_0_swaps_its_own_two(skipped: bool) -> None:
    text = QASM_3 + "qubit[3] q; bit[3] c; x q[1]; negctrl @ swap q[0], q[1], q[2]; c = measure q;"
    circuit = QuantumCircuit(3, 3)
    circuit.x(1)
    circuit.append(CSwapGate(ctrl_state=0), [0, 1, 2])
    circuit.measure(range(3), range(3))

    for form in (text, encoded(circuit)):
        asked = {"skip_transpilation": skipped, "run_config": {"shots": SHOTS}}
        assert run("sampler", "aer_simulator", form, **asked)["raw_counts"] == [{"100": SHOTS}]


ENDS_IN_A_BLOCK = {
    "while (c == 0) { h q[0]; c = measure q; }": {"1"},
    "x q[0]; if (c == 0) { c = measure q; x q[0]; }": {"1"},
    "if (c == 1) { x q[0]; } else { x q[0]; c = measure q; }": {"1"},
    "for int i in [0:2] { x q[0]; c = measure q; }": {"1"},
    "switch (c) { case 0 { h q[0]; c = measure q; } default { x q[0]; } }": {"0", "1"},
}


@pytest.mark.parametrize("body", ENDS_IN_A_BLOCK)
def test_the_last_measurement_may_stand_in_a_block(backend: str, body: str) -> None:
    text = QASM_3 + f"qubit[1] q; bit[1] c; {body}"

    (counts,) = run("sampler", backend, text, run_config={"shots": SHOTS})["raw_counts"]

    often = {bits for bits, times in counts.items() if times > 0.2 * SHOTS}
    assert often == ENDS_IN_A_BLOCK[body]


NOT_OF_EVERY_METHOD = [
    ("matrix_product_state", "crx(pi) q[0], q[1];"),
    ("matrix_product_state", "cry(pi) q[0], q[1];"),
    ("matrix_product_state", "cu(pi, 0, pi, 0) q[0], q[1];"),
    ("matrix_product_state", "ctrl @ rx(pi) q[0], q[1]; ctrl @ inv @ s q[0], q[1];"),
    ("extended_stabilizer", "ry(pi) q[1];"),
    ("extended_stabilizer", "x q[1]; rz(0.5) q[1];"),
    ("stabilizer", "h q[1]; rz(pi) q[1]; h q[1];"),
]


@pytest.mark.parametrize("skipped", [False, True])
@pytest.mark.parametrize(("method", "body"), NOT_OF_EVERY_METHOD)
def test_gates_that_a_method_does_not_know_are_put_in_those_that_it_knows(
    method: str, body: str, skipped: bool
) -> None:
    text = QASM_3 + f"qubit[2] q; bit[2] c; x q[0]; {body} c = measure q;"
    asked = {"run_config": {"shots": 10, "method": method}, "skip_transpilation": skipped}

    counts = run("sampler", "aer_simulator", [text, text], **asked)["raw_counts"]

    assert counts == [{"11": 10}] * 2


def test_what_a_method_can_not_simulate_is_named() -> None:
    text = QASM_3 + "qubit[1] q; bit[1] c; if (c == 0) { h q[0]; } c = measure q;"
    asked = {"run_config": {"shots": 1, "method": "extended_stabilizer"}}

    with pytest.raises(InvalidInputsError) as refused:
        run("sampler", "aer_simulator", [text, text], **asked)

    told = "circuits[0] has if_else, which method extended_stabilizer does not simulate"
    assert str(refused.value) == told


def test_a_range_that_runs_down_to_0_is_the_value_of_its_bits_in_that_order(backend: str) -> None:
    text = QASM_3 + (
        "qubit[3] q; bit[3] c; bit d; x q[0]; c = measure q; if (c[2:-1:0] == 4) { x q[1]; } "
        "d = measure q[1];"
    )

    assert most_often(backend, text) == "1 001"


def test_a_gate_under_a_control_has_the_phase_that_the_language_gives_it(backend: str) -> None:
    text = QASM_3 + (
        "qubit[2] q; bit c; h q[0]; ctrl @ u3(0, 0, pi) q[0], q[1]; s q[0]; h q[0]; "
        "c = measure q[0];"
    )

    assert most_often(backend, text) == "0"
