"""Measurement error mitigation through mthree (M3): calibrate the qubits used, correct the counts."""

import itertools
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


class Calibrated:
    """Corrects the counts of *circuits*, whose qubits are calibrated at first, once.

    Raises `InvalidInputsError` where that is not possible.
    """

    def __init__(
        self, backend: LocalSimulator, circuits: Sequence[QuantumCircuit], seed: int | None = None
    ) -> None:
        mthree = _mthree()
        self._measured = [_measured(circuit, number) for number, circuit in enumerate(circuits)]
        self._mitigation = mthree.M3Mitigation(_Seeded(backend, seed) if seed else backend)
        qubits = sorted({qubit for listed in self._measured for qubit in listed})
        self._mitigation.cals_from_system(qubits, shots=CALIBRATION_SHOTS)

    def corrected(self, counts: Sequence[Mapping[str, int]]) -> list[Mitigated]:
        """*counts* of the circuits, corrected."""
        return [
            _corrected(self._mitigation, found, listed)
            for found, listed in zip(counts, self._measured, strict=True)
        ]


class _Seeded:
    """A backend whose runs are drawn by one seed after the other."""

    def __init__(self, backend: LocalSimulator, seed: int) -> None:
        self._backend = backend
        self._seeds = itertools.count(seed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def run(self, circuits: Any, **options: Any) -> Any:
        """Run *circuits*, repeatably."""
        return self._backend.run(circuits, seed_simulator=next(self._seeds), **options)


def mitigated(
    backend: LocalSimulator,
    circuits: Sequence[QuantumCircuit],
    counts: Sequence[Mapping[str, int]],
) -> list[Mitigated]:
    """*counts* of *circuits* corrected; raises `InvalidInputsError` where that is not possible."""
    return Calibrated(backend, circuits).corrected(counts)


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
