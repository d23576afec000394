"""Noisy models of devices: made up, the same at every start, of three sizes and shapes.

Coupling map, gate times, error rates and coherence times come from `GenericBackendV2` with a
fixed seed; Aer turns them into noise. Handing a whole device's noise to Aer costs 0.3 s for each
run on 57 qubits, most of it for qubits that the circuit does not use; so each run gets the noise
of those gates and qubits that it does use, which is the same distribution.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import (
    BreakLoopOp,
    ContinueLoopOp,
    ForLoopOp,
    IfElseOp,
    SwitchCaseOp,
    WhileLoopOp,
)
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import CouplingMap, Target
from qiskit_aer.noise import NoiseModel

from executors.backends.aer import SMALL
from executors.backends.targeted import Targeted

BASIS = ("id", "rz", "sx", "x", "cx", "reset")

CONTROL_FLOW = {
    "break_loop": BreakLoopOp,
    "continue_loop": ContinueLoopOp,
    "for_loop": ForLoopOp,
    "if_else": IfElseOp,
    "switch_case": SwitchCaseOp,
    "while_loop": WhileLoopOp,
}  # as on devices that measure in the middle of a circuit

Use = tuple[str, tuple[int, ...]]  # a gate and the qubits that it is used on


@dataclass(frozen=True, slots=True)
class Device:
    """What a model is made of."""

    name: str
    description: str
    coupling: Callable[[], CouplingMap]
    seed: int


DEVICES = (
    Device("fake_line_5", "Noisy model of 5 qubits in a line", lambda: CouplingMap.from_line(5), 5),
    Device(
        "fake_heavy_hex_19",
        "Noisy model of 19 qubits on a heavy hexagon lattice",
        lambda: CouplingMap.from_heavy_hex(3),
        19,
    ),
    Device(
        "fake_heavy_hex_57",
        "Noisy model of 57 qubits on a heavy hexagon lattice",
        lambda: CouplingMap.from_heavy_hex(5),
        57,
    ),
)


@lru_cache
def generic(device: Device) -> GenericBackendV2:
    """The device as Qiskit describes one: target, times and errors."""
    coupling = device.coupling()
    model = GenericBackendV2(
        coupling.size(),
        basis_gates=list(BASIS),
        coupling_map=coupling,
        seed=device.seed,
    )
    for name, kind in CONTROL_FLOW.items():
        model.target.add_instruction(kind, name=name)
    return model


class NoisySimulator(Targeted):
    """Simulates *device*: its gates, its couplings and its noise."""

    def __init__(self, device: Device) -> None:
        super().__init__(device.name, generic(device).target, list(BASIS))

    def run(self, circuits: Any, parameter_binds: Any = None, **options: Any) -> Any:
        """Run *circuits*, transpiled for this device; options are Aer's."""
        listed = [circuits] if isinstance(circuits, QuantumCircuit) else list(circuits)
        if "noise_model" not in options:
            options["noise_model"] = noise_of(self._target, frozenset(_uses(listed)))
        if max((_active_qubits(circuit) for circuit in listed), default=0) <= SMALL:
            options.setdefault("max_parallel_threads", 1)
        return super().run(listed, parameter_binds=parameter_binds, **options)


def _uses(circuits: Sequence[QuantumCircuit]) -> Iterable[Use]:
    for circuit in circuits:
        index = {qubit: number for number, qubit in enumerate(circuit.qubits)}
        for instruction in circuit.data:
            qubits = tuple(index[qubit] for qubit in instruction.qubits)
            yield instruction.operation.name, qubits
            for block in getattr(instruction.operation, "blocks", ()):
                yield from _uses_inside(block, qubits)


def _uses_inside(block: QuantumCircuit, outer: tuple[int, ...]) -> Iterable[Use]:
    for name, qubits in _uses([block]):
        yield name, tuple(outer[qubit] for qubit in qubits)


def _active_qubits(circuit: QuantumCircuit) -> int:
    used = {
        qubit for item in circuit.data if item.operation.name != "barrier" for qubit in item.qubits
    }
    return len(used)


@dataclass(frozen=True, slots=True)
class _Part:
    """As much of a device as Aer looks at when it makes a noise model of one."""

    target: Target
    operation_names: tuple[str, ...]
    dt: float | None
    version: int = 2


@lru_cache(maxsize=64)
def noise_of(target: Target, uses: frozenset[Use]) -> NoiseModel:
    """The noise of those gates of *target* that are in *uses*."""
    part = Target(
        num_qubits=target.num_qubits, dt=target.dt, qubit_properties=target.qubit_properties
    )
    for name in target.operation_names:
        properties = {
            qubits: target[name][qubits]
            for qubits in (target.qargs_for_operation_name(name) or ())
            if (name, qubits) in uses
        }
        if properties:
            part.add_instruction(target.operation_from_name(name), properties)
    names = tuple(target.operation_names)
    return NoiseModel.from_backend(_Part(part, names, target.dt))
