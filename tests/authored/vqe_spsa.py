"""A variational eigensolver with SPSA by hand, in a class, on the old paths."""

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, transpile
from qiskit.circuit import ParameterVector
from qiskit_ibm_runtime.program import UserMessenger


class Publisher:
    """Class used to publish interim results."""

    def __init__(self, messenger: UserMessenger):
        self._messenger = messenger

    def callback(self, *args, **kwargs):
        text = list(args)
        for k, v in kwargs.items():
            text.append({k: v})
        self._messenger.publish(text)


class Energy:
    def __init__(self, backend, paulis, reps, shots, seed):
        self.backend, self.shots, self.seed = backend, shots, seed
        self.paulis = paulis
        num_qubits = len(paulis[0][0])
        self.theta = ParameterVector("θ", num_qubits * (reps + 1))
        circuits = [self.measured(pauli, num_qubits, reps) for pauli, _ in paulis]
        self.circuits = transpile(
            circuits, backend, layout_method="noise_adaptive", seed_transpiler=seed
        )

    def measured(self, pauli, num_qubits, reps):
        qreg, creg = QuantumRegister(num_qubits, "q"), ClassicalRegister(num_qubits, "c")
        circuit = QuantumCircuit(qreg, creg)
        angles = iter(self.theta)
        for rep in range(reps + 1):
            for qubit in qreg:
                circuit.ry(next(angles), qubit)
            if rep < reps:
                for one in range(num_qubits - 1):
                    circuit.cnot(qreg[one], qreg[one + 1])
        for qubit, letter in enumerate(reversed(pauli)):
            if letter == "X":
                circuit.h(qubit)
            if letter == "Y":
                circuit.sdg(qubit)
                circuit.h(qubit)
        circuit.measure(qreg, creg)
        return circuit

    def __call__(self, point):
        bound = [
            circuit.bind_parameters(dict(zip(self.theta, point)))
            if circuit.num_parameters
            else circuit
            for circuit in self.circuits
        ]
        result = self.backend.run(bound, shots=self.shots, seed_simulator=self.seed).result()
        total = 0
        for index, (pauli, weight) in enumerate(self.paulis):
            for bits, number in result.get_counts(index).items():
                ones = [bit for bit, letter in zip(bits, pauli) if bit == "1" and letter != "I"]
                total += weight * (-1) ** len(ones) * number / self.shots
        return total


def main(backend, user_messenger, hamiltonian, maxiter=30, reps=1, shots=1024, seed=7, **kwargs):
    publisher = Publisher(user_messenger)
    energy = Energy(backend, hamiltonian, reps, shots, seed)
    rng = np.random.default_rng(seed)
    point = rng.uniform(-2, 2, len(energy.theta))
    best = energy(point), point
    for k in range(1, maxiter + 1):
        a, c = 1.0 / k**0.602, 0.2 / k**0.101
        delta = rng.choice([-1, 1], size=len(point))
        plus, minus = energy(point + c * delta), energy(point - c * delta)
        point = point - a * (plus - minus) / (2 * c) * delta
        value = energy(point)
        best = min(best, (value, point), key=lambda one: one[0])
        publisher.callback(k, point, value, step=a)
    return {"optimal_value": best[0], "optimal_point": best[1], "evaluations": 3 * maxiter + 1}
