"""What `hello-world` and `sample-program` do: a random circuit per iteration, its counts published."""

from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit.random import random_circuit

from executors.backends.aer import LocalSimulator
from executors.programs.running import counts_of, run
from executors.programs.transpiling import transpiled

QUBITS = 5
DEPTH = 4


def publish_iterations(backend: LocalSimulator, user_messenger: Any, iterations: int) -> None:
    """Publish `{"iteration": number, "counts": histogram}` so many times."""
    for iteration in range(int(iterations)):  # to JSON Schema 1e2 is an integer, too
        ready = transpiled([_circuit()], backend, {})
        (counts,) = counts_of(run(backend, ready, {}))
        user_messenger.publish({"iteration": iteration, "counts": counts})


def _circuit() -> QuantumCircuit:
    circuit: QuantumCircuit = random_circuit(QUBITS, DEPTH, max_operands=2, measure=True)
    return circuit
