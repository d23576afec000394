"""Circuits through a backend: options checked, failures told plainly."""

from collections.abc import Mapping, Sequence
from typing import Any

from qiskit import QuantumCircuit
from qiskit.result import Result

from executors.backends.aer import LocalSimulator
from executors.faults import BackendError, InvalidInputsError, blame, of_aer

# Options of devices that a simulator has no use for: taken, for the sake of what was written for
# devices, and left out.
_OF_DEVICES = frozenset({"init_qubits", "rep_delay", "use_measure_esp", "dynamic", "job_tags"})
_RESERVED = frozenset({"max_parallel_threads", "max_memory_mb", "device", "executor"})


def run(
    backend: LocalSimulator, circuits: Sequence[QuantumCircuit], options: Mapping[str, Any]
) -> Result:
    """The result of *circuits*; raises `InvalidInputsError` or `BackendError`."""
    chosen = {
        name: value
        for name, value in options.items()
        if value is not None and name not in _OF_DEVICES
    }
    known = set(backend.options.__dict__)
    if unknown := sorted((set(chosen) - known) | (set(chosen) & _RESERVED)):
        raise InvalidInputsError(f"{backend.name} has no run option {', '.join(unknown)}")
    with blame(BackendError, f"{backend.name} could not run the circuits"):
        result = backend.run(list(circuits), **chosen).result()
        if not result.success:
            raise of_aer(_why(result), chose_method="method" in chosen)
        return result


def counts_of(result: Result) -> list[dict[str, int]]:
    """One histogram of bit strings for each circuit."""
    with blame(InvalidInputsError, "there are no counts"):
        return [dict(result.get_counts(number)) for number in range(len(result.results))]


def _why(result: Result) -> str:
    """The simulator's own words; it has them per circuit or for the whole."""
    told = [str(found.status) for found in result.results if not found.success]
    return "; ".join(told) or str(result.status)
