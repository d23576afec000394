"""Circuits of any shape mean what they say: control flow, and gates under any name."""

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm2, qasm3
from qiskit.circuit import Gate
from qiskit.quantum_info import Statevector
from qiskit_aer import AerSimulator

from executors import runtime_json
from executors.backends import catalogue
from executors.programs import builtin
from executors.programs.circuits import read_circuit
from tests.support.branching import EndlessError, outcome, random_circuit
from tests.support.circuits import encoded

EXAMPLES = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def counts(backend: str, circuit: Any, shots: int = 20) -> dict[str, int]:
    """What the sampler gives, each time the same for the same circuit."""
    inputs = {
        "circuits": circuit,
        "run_config": {"shots": shots, "seed_simulator": 1},
        "transpiler_config": {"seed_transpiler": 1},
    }
    decoded = runtime_json.decode(inputs, "inputs")
    found = builtin.load("sampler").main(catalogue.backend(backend), None, **decoded)
    return dict(found["raw_counts"][0])


# Control flow


@EXAMPLES
@given(st.randoms(use_true_random=False))
@example(Random(386))  # a block on a qubit that is not measured again
def test_control_flow_goes_where_the_bits_say(random: Random) -> None:
    circuit = random_circuit(random, while_loops=True)
    try:
        expected = outcome(circuit)
    except EndlessError:
        assume(False)
        raise

    found = counts("aer_simulator", encoded(circuit))

    assert [bits.replace(" ", "") for bits in found] == [expected]


@EXAMPLES
@given(st.randoms(use_true_random=False))
def test_control_flow_goes_there_on_a_device_model_most_of_the_time(random: Random) -> None:
    circuit = random_circuit(random, while_loops=False)  # with noise, some would not end

    found = counts("fake_line_5", encoded(circuit), shots=60)

    likely = max(found, key=lambda bits: found[bits])
    assert likely.replace(" ", "") == outcome(circuit)


# Names

NAMES = sorted(
    name
    for name in {*AerSimulator().operation_names, "dcx", "iswap", "rccx", "clifford", "qft", "foo"}
    if name not in {"delay", "measure", "reset", "switch_case"}  # words of a language
)
NEUTRAL = [f"mine{number}" for number in range(4)]


@st.composite
def bodies(draw: st.DrawFn) -> list[tuple[int, list[tuple[Any, ...]]]]:
    """For each of a few gates: its qubits, and what it does, with those before it."""
    gates: list[tuple[int, list[tuple[Any, ...]]]] = []
    for number in range(len(NEUTRAL)):
        qubits = draw(st.integers(1, 3))
        able = [one for one in range(number) if gates[one][0] <= qubits]
        steps: list[tuple[Any, ...]] = []
        for _ in range(draw(st.integers(1, 3))):
            order = draw(st.permutations(range(qubits)))
            kind = draw(st.sampled_from(["turn", "flip", "call"]))
            if kind == "call" and able:
                steps.append(("call", draw(st.sampled_from(able)), order))
            elif kind == "flip" and qubits > 1:
                steps.append(("flip", order))
            else:
                steps.append(("turn", draw(st.integers(1, 15)) / 5, order))
        gates.append((qubits, steps))
    return gates


def as_text(version: int, names: list[str], gates: list[Any]) -> str:
    """The gates in OpenQASM, without a library, so that each name is free."""
    flip = "CX {0}, {1};" if version == 2 else "ctrl @ U(pi, 0, pi) {0}, {1};"
    lines = [f"OPENQASM {version}.0;"]
    for name, (qubits, steps) in zip(names, gates, strict=True):
        lines.append(f"gate {name} {', '.join('abc'[:qubits])} {{")
        lines += [_line(flip, names, gates, step, "abc") for step in steps]
        lines.append("}")
    lines.append("qreg q[3]; creg c[3];" if version == 2 else "qubit[3] q; bit[3] c;")
    for name, (qubits, _) in zip(names, gates, strict=True):
        lines.append(f"{name} {', '.join(['q[0]', 'q[1]', 'q[2]'][:qubits])};")
    lines.append("measure q -> c;" if version == 2 else "c = measure q;")
    return "\n".join(lines)


def _line(flip: str, names: list[str], gates: list[Any], step: Any, bits: str) -> str:
    match step:
        case ("call", number, order):
            called = ", ".join(bits[place] for place in order[: gates[number][0]])
            return f"{names[number]} {called};"
        case ("flip", order):
            return flip.format(bits[order[0]], bits[order[1]])
        case (_, angle, order):
            return f"U({angle}, 0.3, {angle}) {bits[order[0]]};"
    raise AssertionError(step)


def as_file(names: list[str], gates: list[Any]) -> dict[str, str]:
    made: list[Gate] = []
    for name, (qubits, steps) in zip(names, gates, strict=True):
        body = QuantumCircuit(qubits)
        for step in steps:
            match step:
                case ("call", number, order):
                    body.append(made[number], list(order[: gates[number][0]]))
                case ("flip", order):
                    body.cx(order[0], order[1])
                case (_, angle, order):
                    body.u(angle, 0.3, angle, order[0])
        gate = Gate(name, qubits, [])
        gate.definition = body
        made.append(gate)
    circuit = QuantumCircuit(3, 3)
    for gate in made:
        circuit.append(gate, range(gate.num_qubits))
    circuit.measure(range(3), range(3))
    return encoded(circuit)


def probabilities(circuit: QuantumCircuit) -> dict[str, float]:
    bare = circuit.copy()
    bare.remove_final_measurements()
    found = Statevector(bare).probabilities_dict(decimals=7)
    return {str(bits): float(share) for bits, share in found.items() if share > 1e-6}


names = st.lists(st.sampled_from(NAMES), min_size=4, max_size=4, unique=True)


@pytest.mark.parametrize("backend", ["aer_simulator", "fake_line_5"])
@pytest.mark.parametrize("form", ["OpenQASM 2", "OpenQASM 3", "QPY"])
def test_a_gates_name_changes_nothing(backend: str, form: str) -> None:
    @EXAMPLES
    @given(names, bodies())
    @example(["x", "cx", "u", "diagonal"], [(1, [("turn", 0.2, [0])]), (2, [("flip", [1, 0])])] * 2)
    def holds(names: list[str], gates: list[Any]) -> None:
        def made(chosen: list[str]) -> Any:
            return (
                as_file(chosen, gates) if form == "QPY" else as_text(int(form[-1]), chosen, gates)
            )

        if form == "QPY":
            assume("store" not in names)  # Qiskit can not make a gate of that name
        named, neutral = made(names), made(NEUTRAL)

        assert counts(backend, named, 200) == counts(backend, neutral, 200)
        if isinstance(named, str):
            loads = qasm2.loads if form == "OpenQASM 2" else qasm3.loads
            expected = probabilities(loads(neutral))  # as Qiskit itself reads it
            found = probabilities(read_circuit(named, "c"))
            assert found == pytest.approx(expected, abs=1e-5)

    holds()
