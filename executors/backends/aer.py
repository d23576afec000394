"""The ideal simulator, and what all simulators here share: how many threads a run may take."""

from collections.abc import Sequence
from typing import Any

from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator

from executors import memory
from executors.backends.flow import steadied
from schemas.limits import MIB

NAME = "aer_simulator"
OWN_MEMORY = 64 * MIB  # bytes that a run needs beside the states that Aer counts
SMALL = 14  # qubits; up to here threads cost more than they gain, and one child per core is best


class LocalSimulator(AerSimulator):  # type: ignore[misc]  # Aer has no types
    """Qiskit Aer with one thread for small circuits and all cores for large ones."""

    about = "Ideal simulator: Qiskit Aer, which picks the method that suits the circuit"
    calibration = ""  # of a device, in force
    most_qubits: int | None = None  # a bound that no method of simulation lifts, if there is one

    @property
    def is_ideal(self) -> bool:
        """Whether it is without noise, and every qubit meets every other."""
        return self.most_qubits is None

    def run(self, circuits: Any, parameter_binds: Any = None, **options: Any) -> Any:
        """Run *circuits*; options are Aer's."""
        options.setdefault("max_parallel_threads", threads_for(circuits))
        if (allowed := memory.allowed()) is not None:
            options.setdefault("max_memory_mb", _for_states(allowed))
        listed = [circuits] if isinstance(circuits, QuantumCircuit) else circuits
        steady = [steadied(circuit) for circuit in listed]
        return super().run(steady, parameter_binds=parameter_binds, **options)


def _for_states(allowed: int) -> int:
    """How many MiB of the *allowed* bytes Aer may use for the states that it counts."""
    return max(1, (allowed - min(OWN_MEMORY, allowed // 4)) // MIB)


def threads_for(circuits: QuantumCircuit | Sequence[QuantumCircuit]) -> int:
    """How many threads Aer may use: 0 stands for every core."""
    listed = [circuits] if isinstance(circuits, QuantumCircuit) else circuits
    widest = max((circuit.num_qubits for circuit in listed), default=0)
    return 1 if widest <= SMALL else 0


def ideal() -> LocalSimulator:
    """The ideal simulator."""
    return LocalSimulator()
