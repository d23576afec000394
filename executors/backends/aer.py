"""The ideal simulator, and what all simulators here share: how many threads a run may take."""

import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
from qiskit_aer.jobs import AerJob

from executors import memory
from executors.backends.flow import steadied
from schemas.limits import MIB

NAME = "aer_simulator"
OWN_MEMORY = 64 * MIB  # bytes that a run needs beside the states that Aer counts
SMALL = 14  # qubits; up to here threads cost more than they gain, and one child per core is best


class _Here(Executor):
    """Does what is submitted at once, in the thread that submits it; one at a time, as Aer's does."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do it; what it returns or raises is in the future."""
        future: Future[Any] = Future()
        with self._one_at_a_time:
            try:
                future.set_result(fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 -- whoever asks for the result gets it
                future.set_exception(error)
        return future


_HERE = _Here()


class LocalSimulator(AerSimulator):  # type: ignore[misc]  # Aer has no types
    """Qiskit Aer with one thread for small circuits and all cores for large ones.

    That one is the caller's: Aer's own would take half a millisecond to take over and to hand back.
    """

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

    def _run_circuits(self, circuits: Any, parameter_binds: Any, **run_options: Any) -> AerJob:
        if run_options["max_parallel_threads"] != 1:
            return super()._run_circuits(circuits, parameter_binds, **run_options)
        binds, execute = parameter_binds, self._execute_circuits_job
        job = AerJob(self, str(uuid.uuid4()), execute, circuits, binds, run_options, executor=_HERE)
        job.submit()
        return job


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
