"""A kernel matrix of fidelities: arrays in, arrays and a circuit out."""

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.library import ZZFeatureMap


class FeatureMap:
    """A circuit for each point of data, and the overlap of two of them."""

    def __init__(self, dimension, reps):
        self._map = ZZFeatureMap(dimension, reps=reps)

    def construct(self, x, y):
        circuit = self._map.assign_parameters(x).compose(self._map.assign_parameters(y).inverse())
        circuit.measure_all()
        return circuit


def main(backend, user_messenger, data, reps=1, shots=2000, seed=None):
    feature_map = FeatureMap(data.shape[1], reps)
    size = len(data)
    matrix = np.eye(size)
    for i in range(size):
        circuits = [feature_map.construct(data[i], data[j]) for j in range(i)]
        if not circuits:
            continue
        ready = transpile(circuits, backend)
        result = backend.run(ready, shots=shots, seed_simulator=seed).result()
        for j, circuit in enumerate(circuits):
            counts = result.get_counts(j)
            matrix[i, j] = matrix[j, i] = counts.get("0" * data.shape[1], 0) / shots
        user_messenger.publish({"row": i, "values": matrix[i], "circuit": circuits[0]})
    labels = QuantumCircuit(1)
    return {
        "matrix": matrix,
        "eigenvalues": np.linalg.eigvals(matrix).astype(complex),
        "empty": labels,
    }
