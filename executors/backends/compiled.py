"""Between Qiskit's objects and the plain values by which devices and circuits travel."""

import inspect
import math
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Gate, Instruction, Measure, Parameter, Reset
from qiskit.circuit.library import Barrier
from qiskit.circuit.library.standard_gates import get_standard_gate_name_mapping
from qiskit.exceptions import QiskitError
from qiskit.transpiler import InstructionProperties, QubitProperties, Target

from executors.backends.described import (
    CompiledCircuit,
    DescribedDevice,
    DescribedGate,
    DescribedQubit,
    Operation,
    Place,
)
from executors.faults import InvalidInputsError, in_its_words

_FREE = ("barrier", "delay")  # of every device


def described(target: Target, name: str, calibration: str = "") -> DescribedDevice:
    """*target* as a value. Control flow is left out. Raises `ValueError` if it has no width."""
    if not target.num_qubits:
        raise ValueError(f"{name} does not say how many qubits it has")
    gates = [
        _gate(target, gate)
        for gate in target.operation_names
        if not inspect.isclass(target.operation_from_name(gate))
    ]
    qubits = [
        DescribedQubit(*(_number(getattr(one, fact, None)) for fact in ("t1", "t2", "frequency")))
        for one in target.qubit_properties or ()
    ]
    return DescribedDevice(
        name, target.num_qubits, tuple(gates), tuple(qubits), _number(target.dt), calibration
    )


def _gate(target: Target, name: str) -> DescribedGate:
    operation, places = target.operation_from_name(name), target[name]
    about = (name, operation.num_qubits, len(operation.params))
    if not places or None in places:
        return DescribedGate(*about)
    return DescribedGate(
        *about,
        tuple(
            Place(
                tuple(qubits),
                _number(getattr(facts, "duration", None)),
                _number(getattr(facts, "error", None)),
            )
            for qubits, facts in places.items()
        ),
    )


def _number(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def target_of(device: DescribedDevice) -> Target:
    """The other way round. A gate that Qiskit does not know is one that nothing is compiled to."""
    qubits = [QubitProperties(one.t1, one.t2, one.frequency) for one in device.qubits]
    target = Target(num_qubits=device.num_qubits, dt=device.dt, qubit_properties=qubits or None)
    for gate in device.gates:
        places = None
        if gate.places is not None:
            places = {
                place.qubits: InstructionProperties(place.duration, place.error)
                for place in gate.places
            }
        target.add_instruction(_operation(gate), places, name=gate.name)
    return target


def _operation(gate: DescribedGate) -> Instruction:
    known = get_standard_gate_name_mapping().get(gate.name)
    if known is not None and len(known.params) == gate.parameters:
        return known
    parameters = [Parameter(f"p{number}") for number in range(gate.parameters)]
    return Gate(gate.name, gate.qubits, parameters)


def compiled(circuit: QuantumCircuit, number: int) -> CompiledCircuit:
    """*circuit*, which is compiled and bound, as a value; raises `InvalidInputsError`."""
    index = {
        bit: place for bits in (circuit.qubits, circuit.clbits) for place, bit in enumerate(bits)
    }
    operations = []
    for item in circuit.data:
        operation = item.operation
        if item.is_control_flow() or getattr(operation, "condition", None) is not None:
            raise InvalidInputsError(
                f"circuits[{number}] has {item.name}: control flow does not go to devices here"
            )
        operations.append(
            Operation(
                item.name,
                _parameters(operation, number),
                tuple(index[qubit] for qubit in item.qubits),
                tuple(index[bit] for bit in item.clbits),
                operation.unit if item.name == "delay" else "",
            )
        )
    sizes = circuit.num_qubits, circuit.num_clbits
    return CompiledCircuit(*sizes, tuple(operations), float(circuit.global_phase))


def _parameters(operation: Instruction, number: int) -> tuple[float, ...]:
    if operation.name == "barrier":
        return ()
    try:
        return tuple(map(float, operation.params))
    except (TypeError, ValueError, QiskitError) as error:
        raise InvalidInputsError(
            f"circuits[{number}]: {operation.name} has a parameter that is no number: "
            f"{in_its_words(error)}"
        ) from error


def circuit_of(told: CompiledCircuit, target: Target, number: int) -> QuantumCircuit:
    """The other way round; raises `InvalidInputsError` if *target* does not have all of it."""
    if told.num_qubits > target.num_qubits:
        raise InvalidInputsError(f"circuits[{number}] has {told.num_qubits} qubits: too many")
    circuit = QuantumCircuit(told.num_qubits, told.num_clbits, name=f"circuit-{number}")
    circuit.global_phase = told.global_phase
    for item in told.operations:
        try:
            circuit.append(_made(item, target), item.qubits, item.clbits)
        except (QiskitError, IndexError, TypeError, ValueError) as error:
            listed = ", ".join(map(str, item.qubits))
            raise InvalidInputsError(
                f"circuits[{number}]: {item.name[:60]} on {listed[:60]} is refused: "
                f"{in_its_words(error)}"
            ) from error
    return circuit


def _made(item: Operation, target: Target) -> Instruction:
    match item.name:
        case "barrier":
            return Barrier(len(item.qubits))
        case "delay":
            return Delay(*item.parameters, unit=item.unit)
        case "measure":
            return Measure()
        case "reset" if target.instruction_supported("reset", item.qubits):
            return Reset()
    if not target.instruction_supported(item.name, item.qubits):
        raise ValueError("the device does not offer it there")
    known = target.operation_from_name(item.name)
    if len(known.params) != len(item.parameters):
        raise ValueError(f"it takes {len(known.params)} parameters")
    made = known.to_mutable()
    made.params = list(item.parameters)
    return made
