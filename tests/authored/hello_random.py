"""Random circuits, an interim result each: the template that most programs of 2021 began from."""

import json
import sys

from qiskit import Aer, transpile
from qiskit.circuit.random import random_circuit
from qiskit.providers.ibmq.runtime import ProgramBackend, UserMessenger
from qiskit.providers.ibmq.runtime.utils import RuntimeDecoder, RuntimeEncoder


def prepare_circuits(backend):
    circuit = random_circuit(num_qubits=5, depth=4, max_operands=2, measure=True, seed=1234)
    return transpile(circuit, backend)


def program(backend: ProgramBackend, user_messenger: UserMessenger, **kwargs):
    iterations = kwargs.pop("iterations", 5)
    for it in range(iterations):
        qc = prepare_circuits(backend)
        result = backend.run(qc, shots=100).result()
        user_messenger.publish({"iteration": it, "counts": result.get_counts()})
    return "Hello, World!"


def main(backend: ProgramBackend, user_messenger: UserMessenger, **kwargs):
    result = program(backend, user_messenger, **kwargs)
    user_messenger.publish(result, final=True, encoder=RuntimeEncoder)


if __name__ == "__main__":
    user_params = {}
    if len(sys.argv) > 1:
        user_params = json.loads(sys.argv[1], cls=RuntimeDecoder)
    main(Aer.get_backend("qasm_simulator"), UserMessenger(), **user_params)
