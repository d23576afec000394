"""Measurement error mitigation through mthree (M3): calibrate the qubits used, correct the counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qiskit import QuantumCircuit

from executors.backends.aer import LocalSimulator
from executors.faults import InvalidInputsError

CALIBRATION_SHOTS = 8192


@dataclass(frozen=True, slots=True)
class Mitigated:
    """The corrected distribution of one circuit, and by how much it costs more shots."""

    quasi: dict[str, float]
    overhead: float


def mitigated(
    backend: LocalSimulator,
    circuits: Sequence[QuantumCircuit],
    counts: Sequence[Mapping[str, int]],
) -> list[Mitigated]:
    """*counts* of *circuits* corrected; raises `InvalidInputsError` where that is not possible."""
    mthree = _mthree()
    measured = [_measured(circuit, number) for number, circuit in enumerate(circuits)]
    mitigation = mthree.M3Mitigation(backend)
    qubits = sorted({qubit for listed in measured for qubit in listed})
    mitigation.cals_from_system(qubits, shots=CALIBRATION_SHOTS)
    return [
        _corrected(mitigation, found, listed)
        for found, listed in zip(counts, measured, strict=True)
    ]


def _mthree() -> Any:
    try:
        import mthree
    except ImportError as error:
        raise InvalidInputsError(
            "measurement error mitigation is not installed on this worker: it needs the extra "
            "'mitigation' (from the checkout: pip install '.[mitigation]')"
        ) from error
    return mthree


def _measured(circuit: QuantumCircuit, number: int) -> list[int]:
    """Which qubit each classical bit was read from, bit 0 first."""
    qubit_of: dict[int, int] = {}
    if any(item.is_control_flow() for item in circuit.data):
        raise InvalidInputsError(
            f"circuits[{number}] has control flow: measurement error mitigation corrects what is "
            "measured at the end, not what was decided on it before"
        )
    for instruction in circuit.data:
        if instruction.operation.name == "measure":
            bit = circuit.find_bit(instruction.clbits[0]).index
            qubit_of[bit] = circuit.find_bit(instruction.qubits[0]).index
    if sorted(qubit_of) != list(range(circuit.num_clbits)):
        raise InvalidInputsError(
            f"circuits[{number}]: measurement error mitigation needs a measurement into each "
            "classical bit"
        )
    return [qubit_of[bit] for bit in range(circuit.num_clbits)]


def _corrected(mitigation: Any, counts: Mapping[str, int], qubits: list[int]) -> Mitigated:
    plain = {bits.replace(" ", ""): number for bits, number in counts.items()}
    quasi = mitigation.apply_correction(plain, qubits, return_mitigation_overhead=True)
    return Mitigated(
        {bits: float(value) for bits, value in quasi.items()}, float(quasi.mitigation_overhead)
    )
