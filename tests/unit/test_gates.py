"""What an operation is: its definition, not its name."""

import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    ControlledGate,
    ControlModifier,
    Gate,
    Instruction,
    InverseModifier,
    Operation,
)
from qiskit.circuit.library import CXGate, DiagonalGate, RXGate, UnitaryGate, XGate
from qiskit.circuit.library.standard_gates import get_standard_gate_name_mapping
from qiskit.quantum_info import Kraus, Operator, Statevector, SuperOp

from executors.backends import catalogue
from executors.faults import InvalidInputsError
from executors.gates import MOST, apart, flat
from executors.programs.transpiling import transpiled


def own(name: str, qubits: int = 1, kind: type[Instruction] = Gate) -> Operation:
    """An operation of that name that flips its first qubit."""
    definition = QuantumCircuit(qubits)
    definition.x(0)
    made = kind(name, qubits, []) if kind is Gate else Instruction(name, qubits, 0, [])
    made.definition = definition
    return made


def holding(operation: Operation) -> QuantumCircuit:
    circuit = QuantumCircuit(operation.num_qubits)
    circuit.append(operation, circuit.qubits)
    return circuit


def inside(body: QuantumCircuit, name: str = "outer") -> QuantumCircuit:
    outer = Gate(name, body.num_qubits, [])
    outer.definition = body
    return holding(outer)


FLIP = Operator(np.array([[0, 1], [1, 0]]))


@pytest.mark.parametrize("name", ["z", "swap", "diagonal", "kraus", "mcx", "barrier", "if_else"])
@pytest.mark.parametrize("kind", [Gate, Instruction])
def test_a_definition_counts_whatever_the_name(name: str, kind: type[Instruction]) -> None:
    made = flat(holding(own(name, 1, kind)))

    assert made.count_ops() == {"x": 1}


def test_a_definition_inside_a_definition_or_a_block_counts() -> None:
    circuit = QuantumCircuit(2, 1)
    with circuit.if_test((circuit.clbits[0], True)) as otherwise:
        circuit.compose(inside(holding(own("z"))), [0], inplace=True)
    with otherwise, circuit.for_loop(range(2)):
        circuit.append(own("z"), [1])

    made = flat(circuit)

    yes, no = made.data[0].operation.blocks
    assert yes.count_ops() == {"x": 1}
    assert no.data[0].operation.blocks[0].count_ops() == {"x": 1}


def test_a_controlled_gate_of_ones_own_controls_its_definition() -> None:
    definition = QuantumCircuit(2)
    definition.cx(0, 1)
    controlled = ControlledGate(
        "cz", 2, [], num_ctrl_qubits=1, definition=definition, ctrl_state=0, base_gate=own("z")
    )

    made = flat(holding(controlled))

    assert Operator(made) == Operator(CXGate(ctrl_state=0))


def test_modifiers_act_on_the_definition() -> None:
    modified = AnnotatedOperation(own("z"), [InverseModifier(), ControlModifier(1)])

    made = flat(holding(modified))

    base = made.data[0].operation.base_op
    assert base.name not in {"z", "x"}
    assert base.definition.count_ops() == {"x": 1}


def test_an_instruction_by_itself_is_named_apart() -> None:
    made = apart(own("swap", 2))

    assert made.name not in {"swap", "x"}
    assert Operator(made.definition) == Operator(FLIP).expand(Operator(np.eye(2)))


def test_the_global_phase_of_a_definition_is_kept() -> None:
    body = QuantumCircuit(1, global_phase=0.5)

    assert flat(inside(body)).global_phase == pytest.approx(0.5)


def test_what_is_qiskits_own_stays_as_it_is() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.append(DiagonalGate([1, 1j]), [0])
    circuit.append(CXGate(ctrl_state=0), [0, 1])
    circuit.barrier()
    circuit.delay(3, 0)
    circuit.reset(0)
    circuit.measure(0, 0)

    assert flat(circuit) is circuit


def test_matrices_and_channels_stay_as_they_are() -> None:
    circuit = holding(UnitaryGate(FLIP))
    circuit.append(Kraus([np.eye(2) * 0.8, FLIP.data * 0.6]).to_instruction(), [0])
    circuit.append(SuperOp(Kraus([np.eye(2)])).to_instruction(), [0])

    assert flat(circuit) == circuit


def test_a_label_which_chooses_another_noise_is_dropped() -> None:
    circuit = holding(XGate(label="silent"))

    assert flat(circuit).data[0].label is None


def test_a_gate_without_a_definition_is_refused_by_name() -> None:
    with pytest.raises(InvalidInputsError, match="gate 'foo' has no definition"):
        flat(inside(holding(Gate("foo", 1, []))))


def test_doubling_definitions_are_refused_before_they_are_unrolled() -> None:
    circuit = holding(XGate())
    for level in range(40):
        body = QuantumCircuit(1)
        for _ in range(2):
            body.append(circuit.data[0].operation, [0])
        circuit = inside(body, f"g{level}")

    with pytest.raises(InvalidInputsError, match="unrolls to more than 1,000 instructions"):
        flat(circuit, 1000)


def test_long_loops_are_refused_before_they_are_unrolled() -> None:
    circuit = QuantumCircuit(1)
    with circuit.for_loop(range(MOST)):
        circuit.x(0)

    with pytest.raises(InvalidInputsError, match="unrolls to more than"):
        flat(circuit)


@pytest.mark.parametrize("angle", [math.nan, math.inf, -math.inf])
def test_an_angle_that_is_no_number_is_refused_with_its_place(angle: float) -> None:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.rx(angle, 2)

    with pytest.raises(InvalidInputsError, match=rf"instruction 1 \(rx on 2\) has -?{angle}"):
        flat(circuit)


def delayed() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.delay(math.inf, 0, unit="ns")
    return circuit


def in_a_block() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    with circuit.if_test((circuit.clbits[0], True)):
        circuit.rx(math.nan, 0)
    return circuit


@pytest.mark.parametrize(
    "circuit",
    [
        QuantumCircuit(1, global_phase=math.nan),
        inside(holding(RXGate(math.nan))),
        in_a_block(),
        delayed(),
        holding(UnitaryGate(np.array([[math.nan, 0], [0, 1]]), check_input=False)),
        holding(Instruction("kraus", 1, 0, [np.array([[math.inf, 0], [0, 1]])])),
    ],
)
def test_a_number_that_is_none_is_refused_wherever_it_is(circuit: QuantumCircuit) -> None:
    with pytest.raises(InvalidInputsError, match="no finite number"):
        flat(circuit)


@pytest.mark.parametrize(
    "operation",
    [
        UnitaryGate(np.array([[0, 9], [1, 0]]), check_input=False),
        Instruction("kraus", 1, 0, [np.eye(2) * 7]),
        Instruction("kraus", 1, 0, [np.eye(3)]),
        Instruction("kraus", 1, 0, [np.eye(4)]),
        Instruction("kraus", 1, 0, []),
        Instruction("superop", 1, 0, [np.eye(2)]),
        Instruction("superop", 1, 0, [0.3]),
    ],
)
def test_matrices_that_make_no_operation_are_refused(operation: Operation) -> None:
    with pytest.raises(InvalidInputsError, match=r"instruction 0 \((unitary|kraus|superop) on 0\)"):
        flat(holding(operation))
    with pytest.raises(InvalidInputsError, match=r"instruction 0"):
        flat(inside(holding(operation)))


STANDARD = [
    gate.base_class(*(0.3 + number / 5 for number in range(len(gate.params))), **state)
    for gate in get_standard_gate_name_mapping().values()
    if isinstance(gate, Gate)
    for state in ([{}, {"ctrl_state": 0}] if isinstance(gate, ControlledGate) else [{}])
]


@pytest.mark.parametrize("gate", STANDARD, ids=lambda gate: gate.name)
def test_where_a_name_counts_qiskit_and_aer_mean_the_same(gate: Gate) -> None:
    circuit = QuantumCircuit(max(1, gate.num_qubits))
    for qubit in range(circuit.num_qubits):
        circuit.u(0.3 + qubit, 0.2 * qubit, 0.1, qubit)
    circuit.append(gate, range(gate.num_qubits))
    for qubit in range(circuit.num_qubits):
        circuit.rx(0.7, qubit)

    simulator = catalogue.backend("aer_simulator")
    (ready,) = transpiled([flat(circuit)], simulator, {})
    ready = ready.copy()
    ready.save_probabilities()

    found = simulator.run(ready).result().data()["probabilities"]
    assert found == pytest.approx(Statevector(circuit).probabilities(), abs=1e-7)
